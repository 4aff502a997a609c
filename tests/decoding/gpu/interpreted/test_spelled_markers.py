"""On the device too, markers that a real vocabulary spells in ordinary text are found in the text."""

from collections.abc import Iterator
from random import Random

import pytest
import torch

from tenuto_decoding.gpu.layout import DevicePhase, mark_tokens
from tenuto_decoding.gpu.slots import BudgetSlots, Rows, Tiles
from tenuto_testing.faster_interpreter import faster_interpreter
from tenuto_testing.spelled_markers import SpelledMarkers, check, draw_case, spelled_markers

#: Every step costs the interpreter a fifth of a second, so the replies are short.
REQUESTS, LENGTH, LONGEST = 90, 26, 128
ROWS = 152_064
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def fast() -> Iterator[None]:
    with faster_interpreter():
        yield


@pytest.fixture(scope="module")
def setting() -> SpelledMarkers:
    return spelled_markers("think, Qwen2.5")


def test_the_device_writes_what_the_automaton_writes(setting: SpelledMarkers) -> None:
    """Greedy replies in one batch: the logits are those of the token that the scripted model wants."""
    chance = Random(1)
    cases = [draw_case(setting, chance) for _ in range(REQUESTS)]
    cases = [case for case in cases if len(case.written.ids) <= LENGTH]
    assert len(cases) > 20
    marks = mark_tokens(ROWS)
    slots = BudgetSlots(
        len(cases), LONGEST, marks, CPU, Tiles(lanes=64, width=64, fill_rows=32, fill_width=32768, patterns=8)
    )
    history = torch.zeros(len(cases), LONGEST, dtype=torch.int32)
    prompts = torch.tensor([len(case.prompt) for case in cases], dtype=torch.int32)
    lengths = prompts.clone()
    for slot, case in enumerate(cases):
        slots.occupy(slot, setting.plan(**case.fields), temperature=0.0)
        history[slot, : len(case.prompt)] = torch.tensor(case.prompt, dtype=torch.int32)
    slots.flush()
    outputs: list[list[int]] = [[] for _ in cases]
    for at in range(max(len(case.written.ids) for case in cases)):
        going = [slot for slot, case in enumerate(cases) if at < len(case.written.ids)]
        logits = torch.zeros(len(going), ROWS)
        logits[range(len(going)), [cases[slot].written.wanted[at] for slot in going]] = 9.0
        numbers = torch.tensor(going)
        inputs = history[numbers, lengths[numbers] - 1]
        zeros = torch.zeros(len(going), dtype=torch.int32)
        slots.apply(
            logits,
            Rows(slots=numbers, positions=zeros, inputs=inputs, history=history, prompts=prompts, lengths=lengths),
        )
        for slot, token in zip(going, logits.argmax(1).tolist(), strict=True):
            case = cases[slot]
            if at not in case.written.masked:
                assert token == case.written.ids[at], (case, setting.tokenizer.decode(outputs[slot]))
            outputs[slot].append(case.written.ids[at])
            history[slot, lengths[slot]] = case.written.ids[at]
            lengths[slot] += 1
    endings = set()
    for case in cases:
        check(setting, case.written, case.answer)
        endings.add(case.written.automaton.ended_by)
    assert endings >= {"cap", "model"}
    # A step takes the tokens committed before it: one more for the last ones.
    every = torch.arange(len(cases))
    zeros = torch.zeros(len(cases), dtype=torch.int32)
    rows = Rows(
        slots=every,
        positions=zeros,
        inputs=history[every, lengths - 1],
        history=history,
        prompts=prompts,
        lengths=lengths,
    )
    slots.apply(torch.zeros(len(cases), ROWS), rows)
    for slot, case in enumerate(cases):
        snapshot = slots.snapshot(slot, int(lengths[slot]))
        assert snapshot
        progress = snapshot.state.progress
        expected = case.written.automaton
        assert (progress.phase, progress.counted, progress.waits) == (
            DevicePhase[expected.phase.name],
            expected.tokens,
            expected.waits,
        ), setting.tokenizer.decode(case.written.ids)
