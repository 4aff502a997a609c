"""The HTTP request that the current task works for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic


@dataclass(slots=True)
class CurrentRequest:
    """What code below the middleware knows of its HTTP request, and reports to it.

    Attributes:
        path: the URL path; empty outside of any request.
        fields: the names of the fields of its body.
        reached_engine: whether the engine has accepted a prompt of it. What fails before is wrong in the request.
        stream_failed: whether the response, a stream that had begun, ended with an error event.
        refused_for: why the request was refused, of the reasons of tenuto_rejected_requests_total.
        arrived: when it did, by `time.monotonic`.
    """

    path: str = ""
    fields: Sequence[str] = ()
    reached_engine: bool = False
    stream_failed: bool = False
    refused_for: str | None = None
    arrived: float = field(default_factory=monotonic)


_current: ContextVar[CurrentRequest] = ContextVar("current_request")


def current_request() -> CurrentRequest:
    """The HTTP request that the current task works for; outside of any, one that nothing else sees."""
    return _current.get(None) or CurrentRequest()


def current_path() -> str:
    """The URL path of the HTTP request that the current task works for; empty outside of any."""
    return current_request().path


def report_stream_error() -> None:
    """Report that the current request's stream, whose status was sent before, ends with an error event."""
    current_request().stream_failed = True


def report_refusal(reason: str) -> None:
    """Report that the current request is refused, for a reason of tenuto_rejected_requests_total."""
    current_request().refused_for = reason


def report_engine_reached() -> None:
    """Report that the engine has accepted a prompt of the current request."""
    current_request().reached_engine = True


@contextmanager
def using_request(request: CurrentRequest) -> Iterator[None]:
    """Make this the current request while the context is open."""
    token = _current.set(request)
    try:
        yield
    finally:
        _current.reset(token)
