"""Steering on the real engine: replaying ids and report gives what the sequence was made to do, id for id."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from vllm import SamplingParams

from tenuto_decoding import Force, Redirect, ThinkingAutomaton, ThinkingBudget, compile_plan
from tenuto_decoding.vllm_requests import REQUEST_KEY
from tenuto_decoding.worker_messages import SequenceReport
from tenuto_testing.cases import Case, draw_cases, families
from tenuto_testing.engines import Engine, Engines
from tenuto_testing.random_model import Ids

CASES, SEED = 40, 9


@pytest.mark.parametrize(
    ("name", "settings", "preempts"),
    [
        ("s1-like, two tokens", {}, False),
        (
            "think-like, one token",
            {"num_gpu_blocks_override": 12, "block_size": 32, "max_model_len": 256, "asynchronous": True},
            True,
        ),
    ],
    ids=["plain", "preemption, asynchronous"],
)
def test_ids_and_report_determine_the_replay(
    name: str, settings: dict[str, Any], preempts: bool, engines: Engines, small_model: Path
) -> None:
    family = families()[name]
    engine = engines.start(small_model, markers=family.markers, disable_log_stats=False, **settings)
    cases = draw_cases(family, CASES, SEED)
    replies = generate_steered(engine, cases, random.Random(SEED))
    seen: Counter[str] = Counter()
    for place, case in enumerate(cases):
        (report,) = engine.processor.report(f"steered {place}")
        seen.update(follow(engine, case, fields_of(place, case), replies[place], report))
    assert seen["answered"] > 3
    assert seen["thought on"] > 3
    assert seen["too late"] > 0
    preemptions = sum(metric.value for metric in engine.llm.get_metrics() if metric.name == "vllm:num_preemptions")
    assert (preemptions > 0) == preempts


def fields_of(place: int, case: Case) -> dict[str, Any]:
    """The case's budget, in every second case with loop detection."""
    return {**case.fields, "loop_tokens": 8 if place % 2 else 0, REQUEST_KEY: f"steered {place}"}


def generate_steered(engine: Engine, cases: list[Case], chance: random.Random) -> dict[int, Ids]:
    """Replies to the cases, in one batch; after each step, some of them are steered."""
    core, processor = engine.llm.llm_engine, engine.processor
    for place, case in enumerate(cases):
        parameters = SamplingParams(
            temperature=1.0, seed=place, max_tokens=case.limit, detokenize=False, extra_args=fields_of(place, case)
        )
        core.add_request(f"steered {place}", {"prompt_token_ids": list(case.prompt)}, parameters)
    replies: dict[int, Ids] = {}
    step = 0
    while core.has_unfinished_requests():
        for output in core.step():
            if output.finished:
                replies[int(output.request_id.split()[1])] = tuple(output.outputs[0].token_ids)
        for _ in range(6):
            place = chance.randrange(len(cases))
            step += 1
            processor.steer(f"steered {place}", step, chance.choice((None, 0, 3, 10, 30)))
    return replies


def follow(engine: Engine, case: Case, fields: dict[str, Any], ids: Ids, report: SequenceReport) -> Counter[str]:
    """Check that the automaton allows every id, given the report. Returns counts of the steers by their effect."""
    plan = compile_plan(ThinkingBudget.from_mapping(fields), case.family.markers, engine.llm.get_tokenizer())
    automaton = ThinkingAutomaton.after(plan, case.prompt)
    seen: Counter[str] = Counter()
    for position, token in enumerate(ids):
        for steer in report.steers:
            if steer.position == position:
                applied = automaton.steer(steer.until)
                seen["too late" if not applied else "answered" if steer.until is None else "thought on"] += 1
        action = automaton.action()
        if isinstance(action, Force):
            assert token == action.token, (position, report)
        elif isinstance(action, Redirect):
            assert token not in action.sources, (position, report)
        automaton.advance(token, position in report.fires)
    seen[f"ended by {automaton.ended_by}"] += 1
    return seen
