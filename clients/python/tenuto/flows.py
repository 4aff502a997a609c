"""The client without I/O: which requests to send, when to retry, and how to read the responses.

A flow is a generator, like httpx's `auth_flow`: it yields an `APIRequest`, is sent a `SendResult` (the response, or the
httpx exception), and returns its result or raises an exception of `tenuto.errors`. `client` runs the same flows
synchronously and with asyncio.
"""

import random
import uuid
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import quote

import httpx

from tenuto import parsing
from tenuto.body import Body, budget_fields
from tenuto.errors import BudgetIgnored, ConnectionFailed, Overloaded, TenutoError
from tenuto.replies import Model, Reply, Steering
from tenuto.status_errors import status_error

T = TypeVar("T")

CHAT_PATH = "/v1/chat/completions"
PROBE_SECONDS = 10.0
#: What servers put before the id of a request to make the id of its reply.
_REPLY_PREFIX = "chatcmpl-"


@dataclass(frozen=True)
class APIRequest:
    """A request to send after `pause` seconds.

    `streams`: do not read the body of a 2xx response. `timeout` in seconds; None uses the client's own. `request_id` is
    sent as `X-Request-Id`: the id of the reply contains it, and a router can choose the replica by it.
    """

    method: str
    path: str
    body: Body | None = None
    streams: bool = False
    timeout: float | None = None
    pause: float = 0.0
    request_id: str | None = None


SendResult = httpx.Response | httpx.HTTPError
Flow = Generator[APIRequest, SendResult, T]


@dataclass(frozen=True)
class Retries:
    """When to send a request again: only after 429 or 503, which mean that the server did not start it.

    The pause is the server's Retry-After, otherwise 0.5, 1, 2, ... seconds plus up to 25 % of jitter. If Retry-After is
    above `longest_pause` seconds, `Overloaded` is raised at once.
    """

    limit: int = 2
    first_pause: float = 0.5
    longest_pause: float = 60.0

    def pause(self, attempt: int, error: TenutoError) -> float | None:
        """Return the seconds before the next attempt (`attempt` counts from 0), or None to give up."""
        if not isinstance(error, Overloaded) or attempt >= self.limit:
            return None
        if error.retry_after is None:
            return min(self.first_pause * 2.0**attempt, self.longest_pause) * random.uniform(1.0, 1.25)
        return error.retry_after if error.retry_after <= self.longest_pause else None


def chat(body: Body, retries: Retries) -> Flow[Reply]:
    response = yield from send_with_retries(APIRequest("POST", CHAT_PATH, body), retries)
    reply = parsing.checked(parsing.parse_reply, parsing.load_object(response.content))
    if (fields := budget_fields(body)) and all(choice.thinking is None for choice in reply.choices):
        raise BudgetIgnored(fields, reply)
    return reply


def open_stream(body: Body, retries: Retries) -> Flow[httpx.Response]:
    """Return a response whose body is still unread; pass its chunks to an `EventParser` of the same body."""
    streamed = {"stream_options": {"include_usage": True}, **body, "stream": True}
    return (yield from send_with_retries(APIRequest("POST", CHAT_PATH, streamed, streams=True), retries))


def steer(reply_id: str, retries: Retries, min_thinking_tokens: int | None = None) -> Flow[Steering]:
    """Send a steering request: answer now, or think until `min_thinking_tokens`."""
    if min_thinking_tokens is None:
        body: Body = {"action": "answer_now"}
    else:
        body = {"action": "think_until", "min_thinking_tokens": min_thinking_tokens}
    path = f"/v1/requests/{quote(reply_id)}/thinking"
    # A router sends requests with the same id to the same replica.
    request_id = _in_header(reply_id.removeprefix(_REPLY_PREFIX))
    response = yield from send_with_retries(APIRequest("POST", path, body, request_id=request_id), retries)
    return parsing.checked(parsing.parse_steering, parsing.load_object(response.content))


def models(retries: Retries) -> Flow[tuple[Model, ...]]:
    response = yield from send_with_retries(APIRequest("GET", "/v1/models", timeout=PROBE_SECONDS), retries)
    return parsing.checked(parsing.parse_models, parsing.load_object(response.content))


def ready() -> Flow[bool]:
    result = response_or_error((yield APIRequest("GET", "/readyz", timeout=PROBE_SECONDS)))
    if isinstance(result, httpx.Response):
        return True
    if isinstance(result, Overloaded | ConnectionFailed):
        return False
    raise result


def send_with_retries(request: APIRequest, retries: Retries) -> Flow[httpx.Response]:
    """Send the request until the server accepts it or the retries are used up.

    Each attempt to chat has an id of its own, so that a router may send it to another replica.
    """
    attempt = 0
    while True:
        result = response_or_error((yield _with_id(request)))
        if isinstance(result, httpx.Response):
            return result
        pause = retries.pause(attempt, result)
        if pause is None:
            raise result
        request = replace(request, pause=pause)
        attempt += 1


def _with_id(request: APIRequest) -> APIRequest:
    """Return a request to chat with the id that its body gives, or with a new one."""
    if request.path != CHAT_PATH:
        return request
    given = (request.body or {}).get("request_id")
    return replace(request, request_id=uuid.uuid4().hex if given is None else _in_header(str(given)))


def _in_header(request_id: str) -> str:
    """Return an id unchanged, and any other text in a form that a header can carry; servers ignore it there."""
    return quote(request_id, safe=":")


def response_or_error(result: SendResult) -> httpx.Response | TenutoError:
    """Return the response if its status is 2xx, otherwise the exception to raise."""
    if isinstance(result, httpx.HTTPError):
        error = ConnectionFailed(f"no response from the server: {type(result).__name__}: {result}")
        error.__cause__ = result
        return error
    return result if result.is_success else status_error(result)
