"""The HTTP request that the current task works for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_path: ContextVar[str] = ContextVar("path", default="")


def current_path() -> str:
    """The URL path of the HTTP request that this context works for; empty outside of any."""
    return _path.get()


@contextmanager
def using_path(path: str) -> Iterator[None]:
    """Make this the path of the current request while the context is open."""
    token = _path.set(path)
    try:
        yield
    finally:
        _path.reset(token)
