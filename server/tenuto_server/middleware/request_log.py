"""The request log: an id, exactly one outcome and one log line for every request."""

import logging
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import metrics
from ..context import CurrentRequest, using_request
from ..engine.accounting import CountedChoice, CountedReply, collect_replies
from ..paths import REQUEST_ID, Endpoint, endpoint_of, path_of
from .request_counts import OTHER

logger = logging.getLogger("vllm.tenuto.requests")

HEADER, RETRY_AFTER = b"x-request-id", b"retry-after"

#: Longest text of a client's that is logged, in characters.
_MAX_TEXT = 200


class RequestOutcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    INVALID = "invalid"  # other 4xx: the request is wrong
    UNAUTHORIZED = "unauthorized"  # 401
    REJECTED = "rejected"  # 503: not now
    CANCELLED = "cancelled"  # the client disconnected
    CUT = "cut"  # the server ended first
    ERROR = "error"  # 5xx, or an error event in a stream


class RequestPhase(StrEnum):
    """How far a request had got when its client disconnected."""

    BODY = "body"
    WHOLE = "whole"  # not streamed: all tokens are sent at once, at the end
    WAITING = "waiting"  # no token yet: in the engine's queue, or its prompt is being processed
    THINKING = "thinking"
    ANSWER = "answer"


@dataclass(slots=True, eq=False)
class RequestRecord:
    """What is known of a request so far.

    Attributes:
        id: the client's `X-Request-Id` or `request_id`, or a generated one; the response has it in `X-Request-Id`.
        id_is_given: whether the client chose it.
        model: as the client wrote it.
        has_fields: whether its body was read and is an object.
        sequences: how many the engine runs for it.
        replies: what the engine generates for it.
        has_body: whether its whole body has arrived.
        is_complete: whether the last byte of the response was sent.
        is_disconnected: whether the client disconnected before that.
        was_cut: whether the server ended before that.
        has_failed: whether it ended in an error of the server.
    """

    id: str
    method: str = ""
    path: str = ""
    id_is_given: bool = False
    model: str | None = None
    has_fields: bool = False
    is_stream: bool = False
    sequences: int = 0
    replies: list[CountedReply] = field(default_factory=list)
    status: int | None = None
    has_body: bool = False
    is_complete: bool = False
    is_disconnected: bool = False
    was_cut: bool = False
    has_failed: bool = False
    started: float = field(default_factory=time.monotonic)
    first_byte: float | None = None

    def add_body(self, body: Any, scope: Scope) -> None:
        """Record the fields of the body, and set the header from which vLLM makes the engine's request ids."""
        if isinstance(body, dict):
            self.has_fields = True
            self.model = body["model"] if isinstance(body.get("model"), str) else None
            self.is_stream = body.get("stream") is True
            own = body.get("request_id")
            if isinstance(own, str) and REQUEST_ID.fullmatch(own) and not self.id_is_given:
                self.id = own
        scope["headers"] = [*without_id(scope["headers"]), (HEADER, self.id.encode())]

    @property
    def choices(self) -> list[CountedChoice]:
        return [choice for reply in self.replies for choice in reply.choices]

    @property
    def outcome(self) -> RequestOutcome:
        if self.was_cut:
            return RequestOutcome.CUT
        if self.is_disconnected:
            return RequestOutcome.CANCELLED
        if self.status == 503:
            return RequestOutcome.REJECTED
        if self.has_failed or self.status is None or self.status >= 500:
            return RequestOutcome.ERROR
        if self.status == 401:
            return RequestOutcome.UNAUTHORIZED
        return RequestOutcome.INVALID if self.status >= 400 else RequestOutcome.OK

    @property
    def phase(self) -> RequestPhase:
        if not self.has_body:
            return RequestPhase.BODY
        if not self.is_stream:
            return RequestPhase.WHOLE
        begun = [choice for choice in self.choices if choice.ids]
        if not begun and (self.choices or self.first_byte is None):  # a response's first event comes before any token
            return RequestPhase.WAITING
        return (
            RequestPhase.THINKING
            if any(choice.report.ended_by == "length" for choice in begun)
            else RequestPhase.ANSWER
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields of the log line. Times are in seconds since the request arrived."""
        fields: dict[str, Any] = {
            "request_id": self.id,
            "method": self.method,
            "path": self.path[:_MAX_TEXT],
            "status": self.status,
            "outcome": self.outcome.value,
            "phase": self.phase.value if self.outcome is RequestOutcome.CANCELLED else None,
            "model": self.model[:_MAX_TEXT] if self.model else None,
            "stream": self.is_stream or None,
            "sequences": self.sequences or None,
            "seconds": round(time.monotonic() - self.started, 4),
            "first_byte_seconds": round(self.first_byte - self.started, 4) if self.first_byte is not None else None,
        }
        if self.choices:
            fields["prompt_tokens"] = sum(len(reply.prompt) for reply in self.replies)
            fields["output_tokens"] = sum(len(choice.ids) for choice in self.choices)
            fields["thinking"] = [choice.report.to_dict() for choice in self.choices]
        return {name: value for name, value in fields.items() if value is not None}


_current: ContextVar[RequestRecord | None] = ContextVar("request", default=None)


def current_record() -> RequestRecord:
    """The record of the request that the current task works for; outside of any request, a new one."""
    return _current.get() or RequestRecord(id=uuid.uuid4().hex)


class RequestLog:
    """ASGI middleware, the outermost one: keeps a record of each request, and logs and counts how it ended.

    Args:
        log_texts: log prompts and replies too.
        fields_in_message: put all fields into the message; a JSON log has them next to it.
        model_name: as `ServerState.model_name`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        log_texts: bool = False,
        fields_in_message: bool = True,
        model_name: Callable[[str | None], str] = lambda requested: "",
    ) -> None:
        self._app, self._log_texts, self._fields_in_message = app, log_texts, fields_in_message
        self._model_name = model_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = _begin(scope)
        send = _recording_send(record, send)
        token = _current.set(record)
        current = CurrentRequest(record.path, arrived=record.started)
        try:
            with collect_replies(record.replies), using_request(current):
                await self._app(scope, _recording_receive(record, receive), send)
        except Exception:
            record.status = record.status or 500
            record.has_failed = True
            raise
        finally:
            _current.reset(token)
            record.has_failed |= current.stream_failed
            # The response was never completed and nothing was raised, so the client must have disconnected.
            record.is_disconnected |= not record.is_complete and not record.has_failed
            if not endpoint_of(scope).is_quiet:
                self._count(record, current, endpoint_of(scope))
                self._write(record, scope)

    def _count(self, record: RequestRecord, current: CurrentRequest, endpoint: Endpoint) -> None:
        names_model = record.has_fields and (endpoint.generates or endpoint.tokenizes)
        model = self._model_name(record.model) if names_model else ""
        path = record.path if endpoint.generates else OTHER
        metrics.REQUESTS.labels(model, path, record.outcome.value).inc()
        if record.outcome is RequestOutcome.CANCELLED:
            metrics.CANCELLED.labels(model, record.phase.value).inc()
        elif record.outcome in _REFUSED:
            metrics.REJECTED.labels(path, current.refused_for or _reason(record.status, endpoint)).inc()
        if current.stream_failed:
            metrics.STREAM_ERRORS.labels(model, path).inc()

    def _write(self, record: RequestRecord, scope: Scope) -> None:
        fields = record.to_dict()
        if self._log_texts and "thinking" in fields:
            fields |= _texts(record, scope["app"].state.engine_client.get_tokenizer())
        level = logging.ERROR if record.outcome is RequestOutcome.ERROR else logging.INFO
        logger.log(level, "%s", _sentence(fields, complete=self._fields_in_message), extra=fields)


#: The outcomes of requests that were refused before generation.
_REFUSED = (RequestOutcome.INVALID, RequestOutcome.UNAUTHORIZED, RequestOutcome.REJECTED)


def _reason(status: int | None, endpoint: Endpoint) -> str:
    """Why vLLM has refused a request, of which only the status says it."""
    if status == 404 and (endpoint.generates or endpoint.tokenizes):
        return "unknown_model"
    return "full" if status in (429, 503) else "invalid"


def without_id(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name != HEADER]


def _begin(scope: Scope) -> RequestRecord:
    given = [value.decode("latin-1") for name, value in scope["headers"] if name == HEADER]
    is_given = len(given) == 1 and REQUEST_ID.fullmatch(given[0]) is not None
    if not is_given:
        scope["headers"] = without_id(scope["headers"])
    return RequestRecord(
        given[0] if is_given else uuid.uuid4().hex, method=scope["method"], path=path_of(scope), id_is_given=is_given
    )


def _recording_receive(record: RequestRecord, receive: Receive) -> Receive:
    async def receive_and_record() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            record.is_disconnected |= not record.is_complete
        else:
            record.has_body |= not message.get("more_body", False)
        return message

    return receive_and_record


def _recording_send(record: RequestRecord, send: Send) -> Send:
    async def record_and_send(message: Message) -> None:
        if message["type"] == "http.response.body":  # first, as there is one for every chunk of a stream
            if record.first_byte is None and not record.is_disconnected:
                record.first_byte = time.monotonic()
            if not message.get("more_body", False):
                record.is_complete = True
        elif message["type"] == "http.response.start":
            record.status = message["status"] if not record.is_disconnected else None
            message["headers"] = [*without_id(message.get("headers", ())), (HEADER, record.id.encode())]
            if message["status"] == 503 and not any(name == RETRY_AFTER for name, _ in message["headers"]):
                message["headers"].append((RETRY_AFTER, b"5"))  # vLLM sends none
        await send(message)

    return record_and_send


def _texts(record: RequestRecord, tokenizer: Any) -> dict[str, Any]:
    return {
        "prompts": [tokenizer.decode(list(reply.prompt)) for reply in record.replies],
        "texts": [tokenizer.decode(choice.ids) for choice in record.choices],
    }


def _sentence(fields: dict[str, Any], *, complete: bool) -> str:
    """The fields as text: what happened, and then the other fields by name."""
    words = [_plain(fields[name]) for name in _LEADING if name in fields]
    if not complete:
        return " ".join(words)
    rest = {name: value for name, value in fields.items() if name not in _LEADING}
    thinking = rest.pop("thinking", [])
    for name in _OF_THINKING if thinking else ():
        values = [report[name] for report in thinking]
        rest[f"thinking_{name}" if name in ("tokens", "waits") else name] = ",".join(map(str, values))
    return " ".join([*words, *(f"{name}={_plain(value)}" for name, value in rest.items())])


_LEADING = ("method", "path", "status", "outcome")
_OF_THINKING = ("tokens", "waits", "ended_by", "max_thinking_tokens", "min_thinking_tokens")


def _plain(value: Any) -> str:
    """A value as one word, whatever a client has sent."""
    text = str(value)
    return text if text.isprintable() and " " not in text else repr(text)
