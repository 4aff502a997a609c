"""Budgets in a batch with other requests, on the real engine: each reply equals the one that it is alone."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from vllm import SamplingParams

from tenuto_decoding import ThinkingAutomaton, ThinkingBudget, compile_plan
from tenuto_decoding.actions import FREE
from tenuto_decoding.vllm_requests import ONLY_CLOSES_KEY, REQUEST_KEY
from tenuto_testing.cases import Case, Family, draw_cases, families
from tenuto_testing.comparison import is_tie
from tenuto_testing.engines import Engine, Engines
from tenuto_testing.random_model import Ids, roles

NAME = "s1-like, two tokens"
CASES = 48
SEED = 5


@pytest.fixture(scope="module")
def family() -> Family:
    return families()[NAME]


@pytest.fixture(scope="module")
def cases(family: Family) -> list[Case]:
    return draw_cases(family, CASES, SEED)


@pytest.fixture
def ready(engine: Engine, family: Family) -> Engine:
    engine.use(family.markers)
    return engine


@pytest.fixture(scope="module")
def alone(engine: Engine, family: Family, cases: Sequence[Case]) -> list[Ids]:
    """Each reply when the engine runs no other request."""
    engine.use(family.markers)
    return [engine.ids([case.prompt], parameters(case))[0] for case in cases]


def parameters(case: Case, **more: Any) -> SamplingParams:
    given = {"temperature": 0.0, "max_tokens": case.limit, "detokenize": False, "extra_args": case.fields}
    return SamplingParams(**given | more)


def same(engine: Engine, cases: Sequence[Case], replies: Sequence[Ids], expected: Sequence[Ids]) -> int:
    """The number of replies that are as expected; the others must differ by a tie of two logits."""
    different = [place for place, pair in enumerate(zip(replies, expected, strict=True)) if pair[0] != pair[1]]
    for place in different:
        assert is_tie(engine, cases[place].prompt, replies[place], expected[place]), cases[place].fields
    return len(replies) - len(different)


def test_a_batch_gives_what_each_request_gets_alone(ready: Engine, cases: list[Case], alone: list[Ids]) -> None:
    replies = ready.ids([case.prompt for case in cases], [parameters(case) for case in cases])
    assert same(ready, cases, replies, alone) >= CASES - 1


def test_requests_without_a_budget_are_those_of_an_engine_without_the_processor(
    ready: Engine, engines: Engines, small_model: Path, cases: list[Case]
) -> None:
    """Bit-identical, log-probabilities included, in their own batch; the same tokens in one with budgeted requests."""
    prompts = [case.prompt for case in cases]
    free = SamplingParams(temperature=0.0, max_tokens=60, logprobs=3, detokenize=False)
    ours = ready.generate(prompts, free)
    plain_engine = engines.start(small_model, processor=None)
    plain = plain_engine.generate(prompts, free)
    assert [reply.outputs[0].token_ids for reply in ours] == [reply.outputs[0].token_ids for reply in plain]
    assert [reply.outputs[0].logprobs for reply in ours] == [reply.outputs[0].logprobs for reply in plain]

    mixed = [free if place % 2 else parameters(case) for place, case in enumerate(cases)]
    together = ready.ids(prompts, mixed)
    for place in range(1, CASES, 2):
        assert together[place] == tuple(plain[place].outputs[0].token_ids)


@pytest.mark.parametrize("cap", [4, 1000])
def test_a_budget_that_only_closes_changes_nothing_before_it_closes(
    ready: Engine, family: Family, cases: list[Case], cap: int
) -> None:
    """A reply differs from the free one only from where thinking is closed: at the cap, or by an end of sequence."""
    prompts, fields = [case.prompt for case in cases], {"max_thinking_tokens": cap, ONLY_CLOSES_KEY: True}
    free = SamplingParams(temperature=0.0, max_tokens=60, detokenize=False)
    closing = SamplingParams(temperature=0.0, max_tokens=60, detokenize=False, extra_args=fields)
    budget = ThinkingBudget(max_thinking_tokens=cap)
    plan = compile_plan(budget, family.markers, ready.llm.get_tokenizer(), only_closes=True)
    changed = 0
    for prompt, plain, reply in zip(prompts, ready.ids(prompts, free), ready.ids(prompts, closing), strict=True):
        whole, before = ThinkingAutomaton.after(plan, prompt), ThinkingAutomaton.after(plan, prompt)
        whole.advance_all(reply)
        assert whole.tokens <= cap
        if reply != plain:
            changed += 1
            shared = next(place for place, pair in enumerate(zip(plain, reply, strict=False)) if pair[0] != pair[1])
            before.advance_all(plain[:shared])
            undecodable = plain[shared] in roles().unknown  # rows without a token are never drawn under a budget
            assert undecodable or before.action() is not FREE, "nothing was to be closed there"
    assert 0 < changed < CASES


def test_each_of_a_parallel_sample_has_its_own_budget_and_report(ready: Engine, family: Family) -> None:
    chance = random.Random(SEED)
    prompt = (*chance.choices(family.words.plain, k=6), family.words.turn)
    fields = {"max_thinking_tokens": 25, "num_waits": 3, REQUEST_KEY: "parallel"}
    (reply,) = ready.generate(
        [prompt], SamplingParams(n=12, temperature=1.0, seed=3, max_tokens=60, detokenize=False, extra_args=fields)
    )
    reports = ready.processor.report("parallel")
    plan = compile_plan(ThinkingBudget.from_mapping(fields), family.markers, ready.llm.get_tokenizer())
    assert len({tuple(each.token_ids) for each in reply.outputs}) > 6
    assert len(reports) == 12
    waits = []
    for each in reply.outputs:
        ids = list(each.token_ids)
        _, fires, _ = max((r for r in reports if r[0] == ids[: len(r[0])]), key=lambda report: len(report[0]))
        automaton = ThinkingAutomaton.after(plan, prompt)
        for place, token in enumerate(ids):
            automaton.advance(token, place in fires)
        assert automaton.tokens <= 25
        assert automaton.ended_by in ("cap", "model", "stop_token")
        waits.append(automaton.waits)
    assert max(waits) > 0
    ready.processor.forget(["parallel"])
    ready.generate([prompt], SamplingParams(max_tokens=2, detokenize=False))  # in a step, the batch changes
    assert ready.processor.report("parallel") == []


def test_an_aborted_request_does_not_change_the_others(ready: Engine, cases: list[Case], alone: list[Ids]) -> None:
    core = ready.llm.llm_engine
    for place, case in enumerate(cases):
        core.add_request(f"abort {place}", {"prompt_token_ids": list(case.prompt)}, parameters(case))
    replies: dict[int, Ids] = {}
    for step in range(400):
        for output in core.step():
            if output.finished:
                replies[int(output.request_id.split()[1])] = tuple(output.outputs[0].token_ids)
        if step == 8:
            core.abort_request([f"abort {place}" for place in range(0, CASES, 3)])
        if not core.has_unfinished_requests():
            break
    kept = [place for place in range(CASES) if place % 3]
    assert {place for place in range(CASES) if place % 3 == 0} - replies.keys()
    assert same(ready, [cases[p] for p in kept], [replies[p] for p in kept], [alone[p] for p in kept]) >= len(kept) - 1
    ready.generate([cases[0].prompt], parameters(cases[0]))  # the batch is updated in a step
    assert len(ready.processor._rows) <= 1


@pytest.mark.parametrize(
    ("settings", "preempts"),
    [
        ({"num_gpu_blocks_override": 12, "block_size": 32, "max_model_len": 256, "enable_prefix_caching": True}, True),
        (
            {
                "num_gpu_blocks_override": 12,
                "block_size": 32,
                "max_model_len": 256,
                "enable_prefix_caching": False,
                "asynchronous": True,
            },
            True,
        ),
        ({"max_num_batched_tokens": 8, "max_num_seqs": 8, "enable_chunked_prefill": True}, False),
        ({"enable_prefix_caching": False}, False),
        ({"asynchronous": True}, False),
    ],
    ids=["preemption", "preemption, asynchronous", "chunked prefill", "no prefix cache", "asynchronous"],
)
def test_no_scheduling_changes_a_reply(
    settings: dict[str, Any],
    preempts: bool,
    engines: Engines,
    engine: Engine,
    small_model: Path,
    family: Family,
    cases: list[Case],
    alone: list[Ids],
) -> None:
    other = engines.start(small_model, markers=family.markers, disable_log_stats=False, **settings)
    other.use(family.markers)
    replies = other.ids([case.prompt for case in cases], [parameters(case) for case in cases])
    assert same(engine, cases, replies, alone) >= CASES - 2
    preemptions = sum(metric.value for metric in other.llm.get_metrics() if metric.name == "vllm:num_preemptions")
    assert (preemptions > 0) == preempts
