"""The kernels compile to machine code for GPUs, with the compilers that come with Triton; no GPU is needed."""

from typing import Any

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from tenuto_decoding.gpu.kernels import fill, step
from tenuto_decoding.gpu.slots import COMPILED

STEP = {
    "logits_ptr": "*fp32",
    "logits_stride": "i32",
    "vocabulary": "i32",
    "slots_ptr": "*i64",
    "positions_ptr": "*i32",
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
STEP_CONSTANTS = {
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
    tiles = COMPILED
    fill_constants = {"rows_each": tiles.fill_rows, "width": tiles.fill_width, "span": tiles.fill_span}
    assert compile_for(target, step, STEP, STEP_CONSTANTS, 1)
    assert compile_for(target, fill, FILL, fill_constants, 8)


def test_step_compiles_for_other_integer_types_of_the_engines_buffers() -> None:
    other = {
        "slots_ptr": "*i32",
        "positions_ptr": "*i64",
        "inputs_ptr": "*i64",
        "prompts_ptr": "*i64",
        "lengths_ptr": "*i64",
    }
    assert compile_for(GPUTarget("cuda", 90, 32), step, STEP | other, STEP_CONSTANTS, 1)


def compile_for(
    target: GPUTarget, kernel: Any, signature: dict[str, str], constants: dict[str, int], warps: int
) -> object:
    """The machine code."""
    assert kernel.arg_names == [*signature, *constants]
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, {**signature, **dict.fromkeys(constants, "constexpr")}, places)
    compiled = triton.compile(source, target=target, options={"num_warps": warps})
    return compiled.asm["cubin" if target.backend == "cuda" else "hsaco"]
