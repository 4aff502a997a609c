"""The client without its input and output: which requests to send, when to send one again, what the answers mean.

A flow is a generator. It yields an `Exchange`, is sent the `Outcome` (a response, or the httpx error that came instead)
and returns its result or raises one of `tenuto.errors`. `client` drives the same flows synchronously and with asyncio.
"""

import random
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import quote

import httpx

from tenuto import parsing
from tenuto.body import Body
from tenuto.errors import ConnectionFailed, InvalidReply, Overloaded, StreamError, TenutoError
from tenuto.refusals import error_object, refusal
from tenuto.replies import Event, Json, Model, Reply, Started, Steering
from tenuto.sse import Decoder

T = TypeVar("T")

CHAT = "/v1/chat/completions"
PROBE_SECONDS = 10.0


@dataclass(frozen=True)
class Exchange:
    """Wait `pause` seconds, then send this. `timeout` None: the client's own; `streams`: leave a 2xx body unread."""

    method: str
    path: str
    body: Body | None = None
    streams: bool = False
    timeout: float | None = None
    pause: float = 0.0


Outcome = httpx.Response | httpx.HTTPError
Flow = Generator[Exchange, Outcome, T]


@dataclass(frozen=True)
class Retries:
    """A request is sent again only when the server said that it did not take it: 429 or 503.

    The pause is the server's Retry-After, else 0.5, 1, 2, ... seconds with up to a quarter of jitter. A Retry-After
    above `longest_pause` seconds is handed to the caller at once, as the `Overloaded` it is.
    """

    limit: int = 2
    first_pause: float = 0.5
    longest_pause: float = 60.0

    def pause(self, attempt: int, error: TenutoError) -> float | None:
        """Seconds before the next attempt (`attempt` counts from 0), None to give up."""
        if not isinstance(error, Overloaded) or attempt >= self.limit:
            return None
        if error.retry_after is None:
            return min(self.first_pause * 2.0**attempt, self.longest_pause) * random.uniform(1.0, 1.25)
        return error.retry_after if error.retry_after <= self.longest_pause else None


def chat(body: Body, retries: Retries) -> Flow[Reply]:
    response = yield from accepted(Exchange("POST", CHAT, body), retries)
    return parsing.read(parsing.reply, parsing.load(response.content))


def open_stream(body: Body, retries: Retries) -> Flow[httpx.Response]:
    """The flow's result is a response whose body is still to be read and fed to an `EventParser`."""
    streamed = {"stream_options": {"include_usage": True}, **body, "stream": True}
    return (yield from accepted(Exchange("POST", CHAT, streamed, streams=True), retries))


def steer(reply_id: str, retries: Retries, until: int | None = None) -> Flow[Steering]:
    """Answer now, or think on `until` that many tokens."""
    body = {"action": "answer_now"} if until is None else {"action": "think_until", "min_thinking_tokens": until}
    path = f"/v1/requests/{quote(reply_id)}/thinking"
    response = yield from accepted(Exchange("POST", path, body), retries)
    return parsing.read(parsing.steering, parsing.load(response.content))


def models(retries: Retries) -> Flow[tuple[Model, ...]]:
    response = yield from accepted(Exchange("GET", "/v1/models", timeout=PROBE_SECONDS), retries)
    return parsing.read(parsing.models, parsing.load(response.content))


def ready() -> Flow[bool]:
    result = judged((yield Exchange("GET", "/readyz", timeout=PROBE_SECONDS)))
    if isinstance(result, httpx.Response):
        return True
    if isinstance(result, Overloaded | ConnectionFailed):
        return False
    raise result


def accepted(exchange: Exchange, retries: Retries) -> Flow[httpx.Response]:
    """Send until the server takes the request or the retries are used up."""
    attempt = 0
    while True:
        result = judged((yield exchange))
        if isinstance(result, httpx.Response):
            return result
        pause = retries.pause(attempt, result)
        if pause is None:
            raise result
        exchange = replace(exchange, pause=pause)
        attempt += 1


def judged(outcome: Outcome) -> httpx.Response | TenutoError:
    """The response if the server took the request, else the error to raise."""
    if isinstance(outcome, httpx.HTTPError):
        error = ConnectionFailed(f"no answer from the server: {type(outcome).__name__}: {outcome}")
        error.__cause__ = outcome
        return error
    return outcome if outcome.is_success else refusal(outcome)


class EventParser:
    """The body of a stream, piece by piece. Call `finish` when the bytes end."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._done = self._started = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that this chunk completes; exhaust the iterator. Raises StreamError for an error event."""
        for event in self._decoder.feed(chunk):
            if event.data == "[DONE]":
                self._done = True
            else:
                yield from self._events(event.data)

    def finish(self) -> None:
        """Raises StreamError if the bytes ended before the stream did."""
        if not self._done:
            raise StreamError("the stream ended before the reply was complete")

    def _events(self, data: str) -> list[Event]:
        try:
            value = parsing.load(data)
            if "error" not in value:
                return [*self._start(value), *parsing.read(parsing.events, value)]
        except InvalidReply as error:
            raise StreamError(str(error)) from error
        details = error_object(value)
        raise StreamError(details.get("message") or data, type=details.get("type"), code=details.get("code"))

    def _start(self, value: Json) -> list[Event]:
        """The first event, from the first chunk."""
        started, self._started = self._started, True
        return [] if started or "id" not in value else [Started(value["id"])]
