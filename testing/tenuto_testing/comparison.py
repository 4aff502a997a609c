"""Random cases run twice on one engine: in one pass, and by the stop-append-resume procedure."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vllm import SamplingParams

from tenuto_decoding import ThinkingAutomaton, ThinkingBudget, compile_plan
from tenuto_decoding.vllm_requests import REQUEST_KEY

from .cases import Case, Family
from .engines import Engine
from .random_model import Ids
from .reference import Procedure, carry_out

#: Two batches compute the same logits up to rounding: only tokens whose logits are closer than this may be exchanged.
TIE = 1e-4


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many cases were equal, how many were skipped because of a tie, and what happened in all of them."""

    equal: int
    ties: int
    events: Counter[str]

    def __str__(self) -> str:
        happened = ", ".join(f"{name} {number}" for name, number in sorted(self.events.items()))
        return (
            f"{self.equal} of {self.equal + self.ties} cases equal, {self.ties} skipped because of a tie ({happened})"
        )


@dataclass(frozen=True, slots=True)
class ComparedCase:
    """One case, run both ways.

    Attributes:
        procedure: stop-append-resume, finished.
        ids, report: the reply in one pass, and its reported thinking tokens, waits and end.
    """

    case: Case
    procedure: Procedure
    ids: Ids
    report: tuple[int, int, str]

    @property
    def is_equal(self) -> bool:
        return self.ids == tuple(self.procedure.text)

    @property
    def reports_agree(self) -> bool:
        return self.report == (self.procedure.count, self.procedure.waits, self.procedure.ended)

    def is_tie(self, engine: Engine) -> bool:
        return is_tie(engine, self.case.prompt, self.ids, tuple(self.procedure.text))

    def __str__(self) -> str:
        return f"{self.case.fields} after {self.case.prompt} ({self.case.where})"


def compare(engine: Engine, family: Family, cases: Sequence[Case]) -> Comparison:
    """Compare tokens and reports, case by case.

    Raises:
        AssertionError: naming the first case that differs.
    """
    ties, events = 0, Counter[str]()
    for number, each in enumerate(run_both_ways(engine, family, cases)):
        events += each.procedure.events
        if not each.is_equal and each.is_tie(engine):
            ties += 1
            continue
        shown = f"case {number}: {each}"
        assert each.ids == tuple(each.procedure.text), shown
        assert each.reports_agree, shown
    return Comparison(len(cases) - ties, ties, events)


def run_both_ways(engine: Engine, family: Family, cases: Sequence[Case]) -> list[ComparedCase]:
    """The cases as stop-append-resume, side by side, and then in one pass, in one batch."""
    procedures = [case.procedure() for case in cases]
    carry_out(engine.llm, procedures)
    replies = one_pass(engine, family, cases)
    return [
        ComparedCase(case, procedure, ids, report)
        for case, procedure, (ids, report) in zip(cases, procedures, replies, strict=True)
    ]


def one_pass(engine: Engine, family: Family, cases: Sequence[Case]) -> list[tuple[Ids, tuple[int, int, str]]]:
    """For each case the reply in one pass, and thinking tokens, waits and end according to the engine's report."""
    engine.use(family.markers)
    names = [uuid.uuid4().hex for _ in cases]  # the processor keeps earlier requests for a while
    parameters = [
        SamplingParams(
            temperature=0, max_tokens=case.limit, detokenize=False, extra_args={**case.fields, REQUEST_KEY: name}
        )
        for name, case in zip(names, cases, strict=True)
    ]
    replies = engine.ids([case.prompt for case in cases], parameters)
    return [
        (ids, replay(engine, family, case, ids, name)) for name, case, ids in zip(names, cases, replies, strict=True)
    ]


def replay(engine: Engine, family: Family, case: Case, ids: Ids, request: str) -> tuple[int, int, str]:
    """Thinking tokens, waits and end of a reply, replayed with the positions at which the engine's redirects fired."""
    ((taken, fires, _),) = engine.processor.report(request)
    assert tuple(taken) == ids[: len(taken)]
    assert len(taken) >= len(ids) - 1
    plan = compile_plan(ThinkingBudget.from_mapping(case.fields), family.markers, engine.llm.get_tokenizer())
    automaton = ThinkingAutomaton.after(plan, case.prompt)
    for place, token in enumerate(ids):
        automaton.advance(token, place in fires)
    return automaton.tokens, automaton.waits, automaton.ended_by


def is_tie(engine: Engine, prompt: Ids, ids: Ids, expected: Ids) -> bool:
    """Whether the first tokens that differ are equally likely up to float32 rounding."""
    place = next((at for at, pair in enumerate(zip(ids, expected, strict=False)) if pair[0] != pair[1]), None)
    if place is None:
        return False  # one is a prefix of the other
    (reply,) = engine.generate(
        [prompt + expected[:place]], SamplingParams(temperature=0, max_tokens=1, logprobs=-1, detokenize=False)
    )
    likely = reply.outputs[0].logprobs[0]
    return bool(abs(likely[ids[place]].logprob - likely[expected[place]].logprob) < TIE)
