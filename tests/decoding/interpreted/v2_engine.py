"""vLLM's own V2 model runner without a GPU, in a process whose Triton interprets.

vLLM runs it on CPUs where a Triton for CPUs is installed. The interpreter is one in effect: vLLM is told that there is
such a Triton, and its kernels are interpreted like ours. Import this before vLLM.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import triton.language as tl
from triton.backends import Backend, backends
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

os.environ |= {
    "VLLM_USE_V2_MODEL_RUNNER": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
}


class _Driver:
    """Never the active one: Triton looks for GPUs among its drivers."""

    @staticmethod
    def is_active() -> bool:
        return False


backends["cpu"] = Backend(compiler=backends["nvidia"].compiler, driver=_Driver)


def _with_plain_masks(access: Callable[..., Any], mask_at: int) -> Callable[..., Any]:
    """Masks of vLLM's n-gram kernels are numbers and scalars, which compilers take and the interpreter does not."""

    def accessed(self: object, pointers: Any, *arguments: Any) -> Any:
        given = list(arguments)
        mask = np.broadcast_to(given[mask_at].data.astype(bool), pointers.data.shape)
        given[mask_at] = TensorHandle(mask.copy(), tl.int1)
        return access(self, pointers, *given)

    return accessed


InterpreterBuilder.create_masked_load = _with_plain_masks(InterpreterBuilder.create_masked_load, 0)
InterpreterBuilder.create_masked_store = _with_plain_masks(InterpreterBuilder.create_masked_store, 1)
