"""vLLM's own V2 model runner without a GPU, in a process whose Triton interprets.

vLLM runs it on CPUs where a Triton for CPUs is installed. The interpreter serves as one: vLLM finds a CPU backend, and
its kernels are interpreted like ours.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl
from triton.backends import Backend, backends
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle


class _InactiveDriver:
    """Never the active driver: Triton looks for GPUs among its drivers."""

    @staticmethod
    def is_active() -> bool:
        return False


def allow_v2_runner() -> None:
    """Call this before vLLM is imported."""
    os.environ |= {
        "VLLM_USE_V2_MODEL_RUNNER": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    backends["cpu"] = Backend(compiler=backends["nvidia"].compiler, driver=_InactiveDriver)
    InterpreterBuilder.create_masked_load = _with_any_mask(InterpreterBuilder.create_masked_load, 0)
    InterpreterBuilder.create_masked_store = _with_any_mask(InterpreterBuilder.create_masked_store, 1)


def _with_any_mask(access: Callable[..., Any], mask_at: int) -> Callable[..., Any]:
    """vLLM's n-gram kernels use numbers and scalars as masks: compilers accept that, the interpreter does not."""

    def accessed(self: object, pointers: Any, *arguments: Any) -> Any:
        mask = arguments[mask_at]
        if mask.data.dtype == bool and mask.data.shape == pointers.data.shape:
            return access(self, pointers, *arguments)
        given = list(arguments)
        given[mask_at] = TensorHandle(np.broadcast_to(mask.data.astype(bool), pointers.data.shape).copy(), tl.int1)
        return access(self, pointers, *given)

    return accessed
