"""The device side of a budget: how plans are packed, and what GPU compilers say of the kernels."""

from typing import Any

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from tenuto_decoding import Marker, ThinkingPlan, UnsupportedEngine
from tenuto_decoding.gpu.kernels import fill, step
from tenuto_decoding.gpu.layout import (
    MAX_MARKER,
    MAX_SOURCES,
    SETTINGS_WIDTH,
    STATE_WIDTH,
    Header,
    Mark,
    Setting,
    State,
    mark_tokens,
    pack_plan,
)
from tenuto_decoding.gpu.slots import COMPILED
from tenuto_decoding.worker_messages import MAX_STEERS

PLAN = ThinkingPlan(
    start=Marker(ids=(1, 2), gate=1),
    end=Marker(ids=(3, 4, 5)),
    stops=(6, 7),
    also_ends=(8,),
    waits=((9, 10), (), (11,)),
    cap_text=(12, 13),
    newline=(14,),
    answer_prefix=(15,),
    max_thinking_tokens=20,
    min_thinking_tokens=5,
    landing_tokens=4,
    num_waits=2,
)

STEP = {
    "logits_ptr": "*fp32",
    "logits_stride": "i32",
    "vocabulary": "i32",
    "slots_ptr": "*i64",
    "places_ptr": "*i32",
    "inputs_ptr": "*i32",
    "rows": "i32",
    "history_ptr": "*i32",
    "history_stride": "i32",
    "prompts_ptr": "*i32",
    "lengths_ptr": "*i32",
    "settings_ptr": "*i64",
    "state_ptr": "*i32",
    "runs_ptr": "*i32",
    "fires_ptr": "*i32",
    "fires_stride": "i32",
    "marks_ptr": "*u8",
    "forced_ptr": "*i32",
}
STEP_CUT = {
    "lanes": COMPILED.lanes,
    "width": COMPILED.width,
    "wide": COMPILED.wide,
    "patterns": COMPILED.patterns,
}
FILL = {
    "logits_ptr": "*fp32",
    "logits_stride": "i32",
    "vocabulary": "i32",
    "forced_ptr": "*i32",
    "rows": "i32",
    "unknown_ptr": "*i32",
    "unknown_count": "i32",
}


@pytest.mark.parametrize(
    "target",
    [GPUTarget("cuda", 80, 32), GPUTarget("cuda", 90, 32), GPUTarget("hip", "gfx942", 64)],
    ids=lambda target: str(target.arch),
)
def test_the_kernels_compile_for_gpus(target: GPUTarget) -> None:
    """To machine code, with the compilers that come with Triton; no GPU is needed for that."""
    tiles = COMPILED
    fill_cut = {"rows_each": tiles.fill_rows, "width": tiles.fill_width, "span": tiles.fill_span}
    assert compile_for(target, step, STEP, STEP_CUT, 1)
    assert compile_for(target, fill, FILL, fill_cut, 8)


def test_they_compile_whichever_integers_the_engine_has() -> None:
    other = {
        "slots_ptr": "*i32",
        "places_ptr": "*i64",
        "inputs_ptr": "*i64",
        "prompts_ptr": "*i64",
        "lengths_ptr": "*i64",
    }
    assert compile_for(GPUTarget("cuda", 90, 32), step, STEP | other, STEP_CUT, 1)


def compile_for(
    target: GPUTarget, kernel: Any, signature: dict[str, str], constants: dict[str, int], warps: int
) -> object:
    """The machine code."""
    assert kernel.arg_names == [*signature, *constants]
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, {**signature, **dict.fromkeys(constants, "constexpr")}, places)
    compiled = triton.compile(source, target=target, options={"num_warps": warps})
    return compiled.asm["cubin" if target.backend == "cuda" else "hsaco"]


def test_a_plan_lies_in_words() -> None:
    words = pack_plan(PLAN)

    def text(place: Header, size: int) -> list[int]:
        return words[words[place] : words[place] + size]

    assert text(Header.START, words[Header.START_SIZE]) == [1, 2]
    assert text(Header.END, words[Header.END_SIZE]) == [3, 4, 5]
    assert text(Header.SOURCES, words[Header.SOURCE_COUNT]) == [6, 7, 8]
    assert text(Header.CLOSING, 7) == [14, 12, 13, 3, 4, 5, 15]
    assert text(Header.SHORT_CLOSING, 5) == [14, 3, 4, 5, 15]
    pairs = text(Header.WAITS, 2 * words[Header.WAIT_COUNT])
    assert [words[place : place + size] for place, size in zip(pairs[::2], pairs[1::2], strict=True)] == [
        [9, 10],
        [],
        [11],
    ]
    assert (words[Header.CAP], words[Header.FLOOR], words[Header.STOPS]) == (20, 5, 2)


def test_the_state_fits() -> None:
    assert max(State) + MAX_STEERS <= STATE_WIDTH
    assert max(Setting) + MAX_STEERS <= SETTINGS_WIDTH


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (ThinkingPlan(start=Marker(ids=tuple(range(MAX_MARKER + 1))), end=Marker(ids=(99,))), "start marker has 32"),
        (ThinkingPlan(start=Marker(ids=(1,)), end=Marker(ids=tuple(range(40)))), "end marker has 40"),
        (
            ThinkingPlan(start=Marker(ids=(1,)), end=Marker(ids=(2,)), stops=tuple(range(10, 11 + MAX_SOURCES))),
            "33 tokens end a reply",
        ),
        (ThinkingPlan(start=Marker(ids=(1,)), end=Marker(ids=(2,)), stops=(3,), also_ends=(3,)), "named only once"),
    ],
)
def test_what_does_not_fit_is_refused(plan: ThinkingPlan, reason: str) -> None:
    with pytest.raises(UnsupportedEngine, match=reason):
        pack_plan(plan)


def test_a_plan_that_only_counts_has_no_place_on_the_device() -> None:
    with pytest.raises(ValueError, match="not enforced"):
        pack_plan(ThinkingPlan(start=Marker(ids=(1,)), end=Marker(ids=(2,)), enforced=False))


def test_marks_are_per_id() -> None:
    marks = mark_tokens(4, line_ends=(1,), landings=(1, 2), boundaries=(0, 9), unknown=(3,))
    assert list(marks) == [Mark.BOUNDARY, Mark.LINE_END | Mark.LANDING, Mark.LANDING, Mark.UNKNOWN]
