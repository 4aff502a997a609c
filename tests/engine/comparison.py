"""Random cases carried out twice on one engine: in one pass, and as stop-append-resume."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vllm import SamplingParams

from tenuto_decoding import ThinkingAutomaton, ThinkingBudget, compile_plan
from tenuto_decoding.vllm_v1 import REQUEST_KEY

from .cases import Case, Family
from .engines import Engine
from .random_model import Ids
from .reference import carry_out

#: Two batches compute the same logits up to rounding: only tokens whose logits are closer than this may change places.
TIE = 1e-4


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many cases were equal, how many were left out for a tie, and what happened in them all."""

    equal: int
    ties: int
    events: Counter[str]

    def __str__(self) -> str:
        happened = ", ".join(f"{name} {number}" for name, number in sorted(self.events.items()))
        return f"{self.equal} of {self.equal + self.ties} cases equal, {self.ties} left out for a tie ({happened})"


def compare(engine: Engine, family: Family, cases: Sequence[Case]) -> Outcome:
    """Tokens and reports of both ways, case by case.

    Raises:
        AssertionError: naming the first case that differs.
    """
    procedures = [case.procedure() for case in cases]
    carry_out(engine.llm, procedures)
    replies = one_pass(engine, family, cases)
    ties = 0
    for number, (case, procedure, (ids, report)) in enumerate(zip(cases, procedures, replies, strict=True)):
        expected = tuple(procedure.text)
        if ids != expected and is_tie(engine, case.prompt, ids, expected):
            ties += 1
            continue
        shown = f"case {number}: {case.asked} after {case.prompt} ({case.where})"
        assert ids == expected, shown
        assert report == (procedure.count, procedure.waits, procedure.ended), shown
    return Outcome(len(cases) - ties, ties, sum((procedure.events for procedure in procedures), Counter[str]()))


def one_pass(engine: Engine, family: Family, cases: Sequence[Case]) -> list[tuple[Ids, tuple[int, int, str]]]:
    """For each case the reply in one pass, and thinking tokens, waits and end as told by the engine's report."""
    engine.use(family.markers)
    names = [uuid.uuid4().hex for _ in cases]  # the processor remembers requests of former tests for a while
    parameters = [
        SamplingParams(
            temperature=0, max_tokens=case.limit, detokenize=False, extra_args={**case.asked, REQUEST_KEY: name}
        )
        for name, case in zip(names, cases, strict=True)
    ]
    replies = engine.ids([case.prompt for case in cases], parameters)
    return [
        (ids, account(engine, family, case, ids, name)) for name, case, ids in zip(names, cases, replies, strict=True)
    ]


def account(engine: Engine, family: Family, case: Case, ids: Ids, request: str) -> tuple[int, int, str]:
    """What following the reply comes to, once the engine has told where its redirects fired."""
    ((taken, fires, _),) = engine.processor.report(request)
    assert tuple(taken) == ids[: len(taken)]
    assert len(taken) >= len(ids) - 1
    plan = compile_plan(ThinkingBudget.from_mapping(case.asked), family.markers, engine.llm.get_tokenizer())
    automaton = ThinkingAutomaton.after(plan, case.prompt)
    for place, token in enumerate(ids):
        automaton.advance(token, place in fires)
    return automaton.tokens, automaton.waits, automaton.ended_by


def is_tie(engine: Engine, prompt: Ids, ids: Ids, expected: Ids) -> bool:
    """Whether the first tokens that differ are equally likely as far as float32 can tell."""
    place = next((at for at, pair in enumerate(zip(ids, expected, strict=False)) if pair[0] != pair[1]), None)
    if place is None:
        return False  # one is the beginning of the other
    (reply,) = engine.generate(
        [prompt + expected[:place]], SamplingParams(temperature=0, max_tokens=1, logprobs=-1, detokenize=False)
    )
    likely = reply.outputs[0].logprobs[0]
    return bool(abs(likely[ids[place]].logprob - likely[expected[place]].logprob) < TIE)
