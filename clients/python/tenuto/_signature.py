"""Give several methods the signature of one function."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
B = TypeVar("B")
S = TypeVar("S")
R = TypeVar("R")


def with_arguments_of(
    build: Callable[P, B],
) -> Callable[[Callable[[S, B], R]], Callable[Concatenate[S, P], R]]:
    """Decorate a method that takes what `build` returns, so that it takes the arguments of `build` instead.

    The parameters are then written in one place only, and type checkers and `help()` show them for each method.
    """

    def decorate(method: Callable[[S, B], R]) -> Callable[Concatenate[S, P], R]:
        @wraps(method)
        def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return method(self, build(*args, **kwargs))

        own = inspect.signature(method)
        parameters = [next(iter(own.parameters.values())), *inspect.signature(build).parameters.values()]
        call.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return call

    return decorate
