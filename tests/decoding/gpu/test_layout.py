"""Plans, settings and state in device memory, and the names that Triton has for their numbers."""

from typing import Any

import pytest
import triton.language as tl

from tenuto_decoding import Marker, Pattern, ThinkingPlan, UnsupportedEngine
from tenuto_decoding.gpu import constants, layout
from tenuto_decoding.gpu.kernels import step
from tenuto_decoding.gpu.layout import (
    MAX_MARKER,
    MAX_SOURCES,
    STATE_WIDTH,
    STEERED_AT,
    DevicePhase,
    EndReason,
    Flag,
    Mark,
    Opening,
    PlanHeader,
    ScriptKind,
    Setting,
    SlotState,
    StepBits,
    TableHeader,
    mark_tokens,
    pack_plan,
    pack_table,
)
from tenuto_decoding.loops import MIN_REPEATS
from tenuto_decoding.matching import Hit

PLAN = ThinkingPlan(
    start=Marker.of_ids((1, 2), 1),
    end=Marker.of_ids((3, 4, 5)),
    stops=(6, 7),
    also_ends=(Pattern.of_ids((8,)),),
    waits=((9, 10), (), (11,)),
    cap_text=(12, 13),
    newline=(14,),
    answer_prefix=(15,),
    no_thinking=(16, 3),
    no_text=((14, 3), (14, 14, 3)),
    max_thinking_tokens=20,
    min_thinking_tokens=5,
    landing_tokens=4,
    num_waits=2,
)


def test_a_packed_plan_is_a_header_and_its_texts() -> None:
    words = pack_plan(PLAN)
    header = PlanHeader(*words[: len(PlanHeader._fields)])

    def text(offset: int, size: int) -> list[int]:
        return words[offset : offset + size]

    assert text(header.start, header.start_size) == [1, 2]
    assert text(header.stops, header.stop_count) == [6, 7]
    assert text(header.closing, 7) == [14, 12, 13, 3, 4, 5, 15]
    assert text(header.short_closing, 5) == [14, 3, 4, 5, 15]
    assert (header.newline_size, header.cap_text_size, header.end_size, header.prefix_size) == (1, 2, 3, 1)
    assert text(header.no_thinking, header.no_thinking_size) == [16, 3]
    assert text(header.nothing, header.nothing_size) == [14, 14, 3]
    assert text(header.nothing_line, header.nothing_line_size) == [14, 3]
    pairs = text(header.waits, 2 * header.wait_count)
    assert [text(offset, size) for offset, size in zip(pairs[::2], pairs[1::2], strict=True)] == [[9, 10], [], [11]]
    assert (header.cap, header.floor, header.stop_count) == (20, 5, 2)


def test_a_packed_table_takes_the_steps_of_the_table() -> None:
    table, vocabulary = PLAN.table, 12
    words = pack_table(table, vocabulary)
    header = TableHeader(*words[: len(TableHeader._fields)])

    def range_at(offset: int) -> list[int]:
        return words[words[offset] : words[offset + 1]]

    for state in range(header.states):
        for token in range(vocabulary):
            word = words[header.steps + words[header.classes + token] * header.states + state]
            step = table.step(state, token)
            assert word & layout.LAST_STATE == step.state
            assert (word >> StepBits.HIT & 7, word >> StepBits.SIZE & 63, word >> StepBits.LENGTH) == step[1:]
        assert range_at(header.sources + 2 * state) == list(table.ends[state])
        assert range_at(header.sources + 2 * state + 1) == list(table.openers[state])
        offset, size = words[header.rests + 2 * state : header.rests + 2 * state + 2]
        assert tuple(words[offset : offset + size]) == table.rests[state]
        flags = Flag(words[header.flags + state])
        assert flags & layout.DEPTH == table.depths[state]
        assert (bool(flags & Flag.BEGUN), bool(flags & Flag.CERTAIN)) == (
            table.is_begun[state],
            table.is_certain[state],
        )
    roots = table.outside, table.inside, table.prompt, table.longest
    assert (header.outside, header.inside, header.prompt, header.longest) == roots


def test_the_parts_of_a_state_are_consecutive() -> None:
    state = SlotState.of(list(range(STATE_WIDTH)))
    assert [word for part in state for word in part] == list(range(STEERED_AT))


def test_every_number_has_exactly_one_constant() -> None:
    kinds: dict[str, Any] = {
        "SETTING": Setting,
        "PHASE": DevicePhase,
        "ENDED": EndReason,
        "SCRIPT": ScriptKind,
        "OPENING": Opening,
        "MARK": Mark,
        "BITS": StepBits,
        "FLAG": Flag,
        "HIT": Hit,
    }
    expected = {f"{prefix}_{member.name}": member.value for prefix, kind in kinds.items() for member in kind}
    for name in ("OCCUPANCY", "BOUNDS", "PROGRESS", "SCRIPT", "LAST_STEP", "STEERED_AT"):
        expected[name] = getattr(layout, name)
    for name in ("DEPTH", "IN_TABLE", "LAST_STATE", "LAYOUT", "MAX_SOURCES", "SETTINGS_WIDTH", "STATE_WIDTH"):
        expected[name] = getattr(layout, name)
    expected["MIN_REPEATS"] = MIN_REPEATS
    found = {name: value.value for name, value in vars(constants).items() if isinstance(value, tl.constexpr)}
    assert found == expected


def test_a_compiled_kernel_is_cached_under_the_layout() -> None:
    """Triton's cache keys a kernel by its source and its constants, not by the order of a tuple's fields."""
    assert step.cache_key  # computed when first read, and with it the constants
    assert "LAYOUT" in {name for name, _ in step.used_global_vals}


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (ThinkingPlan(start=Marker.of_ids((1,)), end=Marker.of_ids(tuple(range(40)))), "has 40 symbols"),
        (
            ThinkingPlan(
                start=Marker.of_ids((1,)), end=Marker.of_ids((2,)), also_ends=(Pattern.of_ids((3,) * (MAX_MARKER + 1)),)
            ),
            "has 32 symbols",
        ),
        (
            ThinkingPlan(start=Marker.of_ids((1,)), end=Marker.of_ids((2,)), stops=tuple(range(10, 11 + MAX_SOURCES))),
            "33 tokens end a reply",
        ),
    ],
)
def test_a_plan_beyond_the_limits_is_refused(plan: ThinkingPlan, reason: str) -> None:
    with pytest.raises(UnsupportedEngine, match=reason):
        pack_plan(plan)


def test_more_states_than_a_word_can_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "LAST_STATE", 3)
    with pytest.raises(UnsupportedEngine, match=r"14 beginnings; the device supports at most 4"):
        pack_plan(PLAN)


def test_a_plan_that_only_counts_is_not_packed() -> None:
    with pytest.raises(ValueError, match="not enforced"):
        pack_plan(ThinkingPlan(start=Marker.of_ids((1,)), end=Marker.of_ids((2,)), enforced=False))


def test_each_id_has_its_marks() -> None:
    marks = mark_tokens(4, line_ends=(1,), landings=(1, 2), boundaries=(0, 9), unknown=(3,))
    assert list(marks) == [Mark.BOUNDARY, Mark.LINE_END | Mark.LANDING, Mark.LANDING, Mark.UNKNOWN]
