"""The kernels are equal to the automaton.

TENUTO_KERNEL_CASES sets the number of requests in the main test. With it, they are different in every run.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tenuto_decoding import Marker, Redirect, ThinkingAutomaton, ThinkingPlan, initial_phase
from tenuto_decoding.gpu.layout import MAX_MARKER, DevicePhase, mark_tokens
from tenuto_decoding.gpu.slots import BudgetSlots, Rows, Tiles
from tenuto_testing.faster_interpreter import faster_interpreter
from tenuto_testing.simulated_engine import LONGEST, Dtypes, SimulatedEngine
from tenuto_testing.simulated_requests import (
    BOUNDARIES,
    EOS,
    MARKS,
    OPEN,
    TURN,
    VOCABULARY,
    SimulatedRequest,
    draw_request,
)

#: Least number of requests in the main test.
SHORT, LONG = 2_000, 10_000
#: Requests of one engine: a launch costs the interpreter the same for any number of lanes. Hypothesis draws as many as
#: it can hold choice by choice, and a seed for the others.
DRAWN, SEEDED = 100, 1_900
SLOTS = 1_600
CPU = torch.device("cpu")
#: Events that must happen in the main test.
EVENTS = {
    "admitted",
    "admitted without a budget",
    "chunk of a prompt",
    "drafts accepted",
    "drafts rejected",
    "ended by cap",
    "ended by length",
    "ended by loop",
    "ended by model",
    "ended by none",
    "ended by stop_token",
    "resumed from a snapshot",
    "resumed from its tokens",
    "steered to answer",
    "steered to think",
    "steered without effect",
    "waits",
}


@pytest.fixture(scope="module", autouse=True)
def fast() -> Iterator[None]:
    with faster_interpreter():
        yield


def requests(size: int) -> st.SearchStrategy[list[SimulatedRequest]]:
    return st.lists(st.builds(draw_request, st.randoms(use_true_random=False)), min_size=size, max_size=size)


examples = settings(
    deadline=None,
    database=None,
    derandomize="TENUTO_KERNEL_CASES" not in os.environ,
    phases=(Phase.explicit, Phase.generate),  # shrinking does not help: a failure names its request
    suppress_health_check=list(HealthCheck),
)


def run(
    drawn: Sequence[SimulatedRequest], seed: int, slots: int, tiles: Tiles, dtypes: Dtypes | None = None
) -> Counter[str]:
    engine = SimulatedEngine(random.Random(seed), slots, tiles, dtypes or Dtypes())
    engine.run(list(drawn))
    return engine.events


def test_the_kernels_are_equal_to_the_automaton(is_long: bool) -> None:
    """Every row and every state of thousands of requests, with drafts, reused slots, preemption and steering."""
    cases = int(os.environ.get("TENUTO_KERNEL_CASES", LONG if is_long else SHORT))
    events: Counter[str] = Counter()
    tiles = Tiles(lanes=2048, width=64, wide=64, fill_rows=2048, fill_width=64, patterns=8)

    @settings(examples, max_examples=-(-cases // (DRAWN + SEEDED)))
    @given(requests(DRAWN), st.integers(0, 2**32))
    def engine(drawn: list[SimulatedRequest], seed: int) -> None:
        chance = random.Random(seed)
        drawn = drawn + [draw_request(chance) for _ in range(SEEDED)]
        chance.shuffle(drawn)
        kinds = Dtypes(*(chance.choice((torch.int32, torch.int64)) for _ in fields(Dtypes)))
        events.update(run(drawn, seed, SLOTS, tiles, kinds))

    engine()
    assert events["admitted"] + events["admitted without a budget"] >= cases
    assert not EVENTS - set(events)


@pytest.mark.parametrize(
    ("lanes", "dtypes"), [(1, Dtypes()), (4, Dtypes(torch.int32, torch.int64, torch.int64, torch.int64))]
)
def test_programs_as_small_as_on_a_gpu(lanes: int, dtypes: Dtypes) -> None:
    tiles = Tiles(lanes=lanes, width=16, wide=32, fill_width=8, fill_span=16, patterns=8)

    @settings(examples, max_examples=3)
    @given(requests(6), st.integers(0, 2**32))
    def engine(drawn: list[SimulatedRequest], seed: int) -> None:
        run([replace(request, length=min(request.length, 12)) for request in drawn], seed, 4, tiles, dtypes)

    engine()


def test_the_longest_markers() -> None:
    chance = random.Random(1)

    def long_one(size: int) -> Marker:
        ids = tuple(chance.choices((9, 10), (6, 1), k=size))
        return Marker.of_ids(ids, size - 1)

    drawn = []
    for _ in range(40):
        end = long_one(MAX_MARKER)
        plan = ThinkingPlan(start=long_one(3), end=end, stops=(EOS,), num_waits=chance.randint(0, 2), waits=((12,),))
        prompt = (*plan.start.ids, *end.ids[: chance.randint(0, MAX_MARKER - 1)], *chance.choices((9, 10), k=3))
        drawn.append(SimulatedRequest(plan=plan, prompt=prompt, temperature=1.0, structured=False, length=12))
    run(drawn, 1, 64, Tiles(lanes=64, width=64, wide=64, fill_rows=64, fill_width=64, patterns=8))


@settings(examples, max_examples=6)
@given(requests(40), st.integers(0, 2**32))
def test_prompts_are_scanned_from_their_end(drawn: list[SimulatedRequest], seed: int) -> None:
    """Long prompts of the plan's own markers, their beginnings and control tokens, over many blocks."""
    chance = random.Random(seed)
    slots = BudgetSlots(
        len(drawn), LONGEST, MARKS, CPU, Tiles(lanes=64, width=32, wide=64, fill_rows=64, fill_width=64, patterns=8)
    )
    history = torch.zeros(len(drawn), LONGEST, dtype=torch.int32)
    plans, prompts = [], []
    for slot, request in enumerate(drawn):
        plan = request.plan or ThinkingPlan(
            start=Marker.of_ids((OPEN,)), end=Marker.of_ids((9, 9)), boundaries=BOUNDARIES
        )
        pieces = [plan.start.ids, plan.end.ids, plan.start.ids[:-1], plan.end.ids[:-1], (TURN,)]
        filler = [tuple(chance.choices(range(20, 29), k=chance.randint(1, 90))) for _ in range(8)]
        prompt = [token for piece in chance.choices([*pieces, *filler], k=12) for token in piece][-LONGEST:] or [TURN]
        slots.occupy(slot, plan)
        history[slot, : len(prompt)] = torch.tensor(prompt, dtype=torch.int32)
        plans.append(plan)
        prompts.append(prompt)
    slots.flush()
    lengths = torch.tensor([len(prompt) for prompt in prompts], dtype=torch.int32)
    slot_ids = torch.arange(len(drawn))
    zeros = torch.zeros(len(drawn), dtype=torch.int32)
    rows = Rows(slots=slot_ids, positions=zeros, inputs=zeros, history=history, prompts=lengths, lengths=lengths)
    slots.apply(torch.zeros(len(drawn), VOCABULARY), rows)
    for slot, (plan, prompt) in enumerate(zip(plans, prompts, strict=True)):
        snapshot = slots.snapshot(slot, LONGEST)
        expected = ThinkingAutomaton.after(plan, prompt)
        assert snapshot
        assert snapshot.state.progress.phase == DevicePhase[expected.phase.name], (plan, prompt)
        assert initial_phase(plan, prompt) in (expected.phase, initial_phase(plan, []))


def test_a_real_vocabulary_is_wide() -> None:
    """152,064 ids as in Qwen2.5, of which the last 399 have no token: force, redirect, mask and suppress."""
    wide, unknown, tail = 152_064, tuple(range(151_665, 152_064)), 151_643
    slots = BudgetSlots(
        4, 8, mark_tokens(wide, unknown=unknown), CPU, Tiles(lanes=4, width=4096, fill_rows=4, patterns=8)
    )
    base = ThinkingPlan(start=Marker.of_ids((7,)), end=Marker.of_ids((151_668 - 5, 9)), stops=(tail,))
    plans = [
        replace(base, max_thinking_tokens=0),
        replace(base, num_waits=1, waits=((14_190,),)),
        base,
        replace(base, num_waits=1, waits=((),)),
    ]
    for slot, plan in enumerate(plans):
        slots.occupy(slot, plan, temperature=0.6)
    slots.flush()
    logits = torch.randn(4, wide, generator=torch.Generator().manual_seed(0))
    logits[:, tail] = 9.0
    logits[:, unknown[5]] = 99.0  # as untrained rows may be
    before = logits.clone()
    numbers, ones = torch.arange(4), torch.ones(4, dtype=torch.int32)
    history = torch.full((4, 8), 7, dtype=torch.int32)
    slots.apply(
        logits,
        Rows(slots=numbers, positions=0 * ones, inputs=ones, history=history, prompts=ones, lengths=ones),
    )
    assert logits[0].isfinite().nonzero().flatten().tolist() == [base.end.ids[0]]
    for row, plan in enumerate(plans[1:], 1):
        action = ThinkingAutomaton.after(plan, (7,)).action()
        assert isinstance(action, Redirect)
        expected = before[row].double()
        weights = expected[list(action.sources)].clone()
        expected[[*action.sources, *unknown]] = -torch.inf
        if action.target is not None:
            moved = torch.logsumexp(torch.cat((weights, expected[[action.target]])) / 0.6, 0) * 0.6
            expected[action.target] = moved
        torch.testing.assert_close(logits[row].double(), expected, rtol=1e-6, atol=1e-6)
    snapshot = slots.snapshot(3, 8)
    assert snapshot
    # The stop token weighed more than the likeliest other token, though less than an id without one.
    assert snapshot.state.last_step.fired == 1


def test_the_probability_moves_and_nothing_else_does() -> None:
    """A redirect adds the sources' probability to the target's; that of every other token stays the same."""
    plan = ThinkingPlan(
        start=Marker.of_ids((OPEN,)), end=Marker.of_ids((9, 10)), stops=(EOS,), num_waits=99, waits=((12,),)
    )
    temperatures = (0.3, 0.6, 1.0, 1.7)
    slots = BudgetSlots(4, 8, mark_tokens(VOCABULARY), CPU)
    for slot, temperature in enumerate(temperatures):
        slots.occupy(slot, plan, temperature)
    slots.flush()
    logits = torch.randn(4, VOCABULARY, generator=torch.Generator().manual_seed(1)) * 3
    chances = [(row.double() / temperature).softmax(0) for row, temperature in zip(logits, temperatures, strict=True)]
    numbers, ones = torch.arange(4), torch.ones(4, dtype=torch.int32)
    history = torch.full((4, 8), OPEN, dtype=torch.int32)
    slots.apply(
        logits,
        Rows(slots=numbers, positions=0 * ones, inputs=ones, history=history, prompts=ones, lengths=ones),
    )
    for row, temperature, chance in zip(logits, temperatures, chances, strict=True):
        moved = chance.clone()
        moved[12] += moved[[EOS, 9]].sum()
        moved[[EOS, 9]] = 0.0
        np.testing.assert_allclose((row.double() / temperature).softmax(0), moved, rtol=0, atol=5e-7)
