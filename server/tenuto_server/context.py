"""The HTTP request that the current task works for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class CurrentRequest:
    """What code below the middleware knows of its HTTP request, and reports to it.

    Attributes:
        path: the URL path; empty outside of any request.
        stream_failed: whether the response, a stream that had begun, ended with an error event.
    """

    path: str = ""
    stream_failed: bool = False


_current: ContextVar[CurrentRequest] = ContextVar("current_request")


def current_path() -> str:
    """The URL path of the HTTP request that the current task works for; empty outside of any."""
    request = _current.get(None)
    return request.path if request is not None else ""


def report_stream_error() -> None:
    """Report that the current request's stream, whose status was sent before, ends with an error event."""
    request = _current.get(None)
    if request is not None:
        request.stream_failed = True


@contextmanager
def using_request(request: CurrentRequest) -> Iterator[None]:
    """Make this the current request while the context is open."""
    token = _current.set(request)
    try:
        yield
    finally:
        _current.reset(token)
