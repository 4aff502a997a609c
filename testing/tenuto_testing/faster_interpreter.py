"""Makes Triton's interpreter faster, for a process that launches our kernels a thousand times."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from triton.language.semantic import TritonSemantic
from triton.runtime import interpreter


@contextmanager
def faster_interpreter() -> Iterator[None]:
    """Meanwhile the interpreter does less for each operation; the results of our kernels are the same.

    A device function is called without patching `triton.language` again: for what we use of it, the launch has done so.
    Sums are not checked for overflow: all of ours are far below.
    """
    call, broadcast = interpreter.InterpretedFunction.__call__, TritonSemantic.broadcast_impl_value
    builder = interpreter.interpreter_builder
    options = builder.options

    def call_patched(function: Any, *arguments: Any, **named: Any) -> Any:
        return function.rewrite()(*arguments, **named)

    def broadcast_unless_equal(self: Any, lhs: Any, rhs: Any) -> Any:
        shapes = [value.type.shape.values for value in (lhs, rhs) if value.type.is_block()]
        return (lhs, rhs) if len(shapes) == 2 and shapes[0] == shapes[1] else broadcast(self, lhs, rhs)

    interpreter.InterpretedFunction.__call__ = call_patched
    TritonSemantic.broadcast_impl_value = broadcast_unless_equal
    builder.options = replace(options, sanitize_overflow=False)
    try:
        yield
    finally:
        interpreter.InterpretedFunction.__call__ = call
        TritonSemantic.broadcast_impl_value = broadcast
        builder.options = options
