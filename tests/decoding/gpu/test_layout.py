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
    Mark,
    Opening,
    PlanHeader,
    ScriptKind,
    Setting,
    SlotState,
    mark_tokens,
    pack_plan,
)
from tenuto_decoding.loops import MIN_REPEATS

PLAN = ThinkingPlan(
    start=Marker.of_ids((1, 2), 1),
    end=Marker.of_ids((3, 4, 5)),
    stops=(6, 7),
    also_ends=(Pattern.of_ids((8,)),),
    waits=((9, 10), (), (11,)),
    cap_text=(12, 13),
    newline=(14,),
    answer_prefix=(15,),
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
    assert text(header.end, header.end_size) == [3, 4, 5]
    assert text(header.sources, header.source_count) == [6, 7, 8]
    assert text(header.closing, 7) == [14, 12, 13, 3, 4, 5, 15]
    assert text(header.short_closing, 5) == [14, 3, 4, 5, 15]
    pairs = text(header.waits, 2 * header.wait_count)
    assert [text(offset, size) for offset, size in zip(pairs[::2], pairs[1::2], strict=True)] == [[9, 10], [], [11]]
    assert (header.cap, header.floor, header.stop_count) == (20, 5, 2)


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
    }
    expected = {f"{prefix}_{member.name}": member.value for prefix, kind in kinds.items() for member in kind}
    for name in ("OCCUPANCY", "BOUNDS", "PROGRESS", "SCRIPT", "LAST_STEP", "STEERED_AT"):
        expected[name] = getattr(layout, name)
    for name in ("LAYOUT", "MAX_SOURCES", "SETTINGS_WIDTH", "STATE_WIDTH"):
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
        (
            ThinkingPlan(start=Marker.of_ids(tuple(range(MAX_MARKER + 1))), end=Marker.of_ids((99,))),
            "start marker has 32",
        ),
        (ThinkingPlan(start=Marker.of_ids((1,)), end=Marker.of_ids(tuple(range(40)))), "end marker has 40"),
        (
            ThinkingPlan(start=Marker.of_ids((1,)), end=Marker.of_ids((2,)), stops=tuple(range(10, 11 + MAX_SOURCES))),
            "33 tokens end a reply",
        ),
        (
            ThinkingPlan(
                start=Marker.of_ids((1,)), end=Marker.of_ids((2,)), stops=(3,), also_ends=(Pattern.of_ids((3,)),)
            ),
            "named only once",
        ),
    ],
)
def test_a_plan_beyond_the_limits_is_refused(plan: ThinkingPlan, reason: str) -> None:
    with pytest.raises(UnsupportedEngine, match=reason):
        pack_plan(plan)


def test_a_plan_that_only_counts_is_not_packed() -> None:
    with pytest.raises(ValueError, match="not enforced"):
        pack_plan(ThinkingPlan(start=Marker.of_ids((1,)), end=Marker.of_ids((2,)), enforced=False))


def test_each_id_has_its_marks() -> None:
    marks = mark_tokens(4, line_ends=(1,), landings=(1, 2), boundaries=(0, 9), unknown=(3,))
    assert list(marks) == [Mark.BOUNDARY, Mark.LINE_END | Mark.LANDING, Mark.LANDING, Mark.UNKNOWN]
