"""The core alone: bodies, retries and parsing, with no server."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import tenuto
from tenuto import protocol
from tenuto.protocol import EventParser, Exchange, Retries

DONE = b"data: [DONE]\n\n"


def drive(flow: protocol.Flow[Any], *outcomes: protocol.Outcome) -> tuple[list[float], Any]:
    """The pauses that the flow asked for, and its result or error, when these outcomes come in turn."""
    pauses, exchange, remaining = [], next(flow), list(outcomes)
    while True:
        pauses.append(exchange.pause)
        try:
            exchange = flow.send(remaining.pop(0))
        except StopIteration as finished:
            return pauses, finished.value
        except tenuto.TenutoError as error:
            return pauses, error


def busy(**headers: str) -> httpx.Response:
    return httpx.Response(503, headers={name.replace("_", "-"): text for name, text in headers.items()})


def attempts(*outcomes: protocol.Outcome) -> tuple[list[float], Any]:
    return drive(protocol.accepted(Exchange("GET", "/"), Retries()), *outcomes)


def test_retry_after_is_honoured() -> None:
    fine = httpx.Response(200)
    assert attempts(busy(Retry_After="7"), busy(Retry_After="0"), fine) == ([0.0, 7.0, 0.0], fine)


def test_pauses_double_where_the_server_names_none() -> None:
    pauses, error = attempts(busy(), busy(), busy())
    assert pauses[0] == 0.0
    assert 0.5 <= pauses[1] <= 0.625
    assert 1.0 <= pauses[2] <= 1.25
    assert isinstance(error, tenuto.Overloaded)


def test_a_pause_that_is_too_long_is_the_callers_decision() -> None:
    pauses, error = attempts(busy(Retry_After="61"))
    assert pauses == [0.0]
    assert error.retry_after == 61.0


@pytest.mark.parametrize("outcome", [httpx.ConnectError("refused"), httpx.Response(500), httpx.Response(400)])
def test_only_a_request_that_was_not_taken_is_sent_again(outcome: protocol.Outcome) -> None:
    pauses, error = attempts(outcome)
    assert pauses == [0.0]
    assert isinstance(error, tenuto.TenutoError)


def chunk(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [], **fields}).encode() + b"\n\n"


def test_events_before_an_error_are_given_out() -> None:
    delta = chunk(choices=[{"index": 1, "delta": {"reasoning_content": "Hm"}, "finish_reason": None}])
    error = b'data: {"error": {"message": "engine died", "type": "InternalServerError", "code": 500}}\n\n'
    events = EventParser().feed(delta + error)
    assert next(events) == tenuto.ReasoningDelta(1, "Hm")
    with pytest.raises(tenuto.StreamError, match="engine died") as caught:
        next(events)
    assert (caught.value.type, caught.value.code) == ("InternalServerError", 500)


def test_a_stream_without_its_end_is_an_error() -> None:
    parser = EventParser()
    assert list(parser.feed(chunk())) == []
    with pytest.raises(tenuto.StreamError, match="before the reply was complete"):
        parser.finish()
    assert list(parser.feed(DONE)) == []
    parser.finish()


@pytest.mark.parametrize("data", [b"not json", b"[]", b'{"choices": [{}]}', b'{"choices": 3}'])
def test_a_frame_that_makes_no_sense_is_an_error(data: bytes) -> None:
    with pytest.raises(tenuto.StreamError):
        list(EventParser().feed(b"data: " + data + b"\n\n"))


def test_tool_calls_are_passed_on() -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": "{"}}
    events = EventParser().feed(chunk(choices=[{"index": 0, "delta": {"tool_calls": [call]}}]))
    assert list(events) == [tenuto.ToolCallsDelta(0, (call,))]


@pytest.mark.parametrize("flow", [protocol.chat, protocol.models])
@pytest.mark.parametrize("content", [b"<html>", b"{}", b'{"choices": [{}], "data": [{}]}', b"null"])
def test_an_answer_that_is_not_the_apis_is_an_error(flow: Callable[..., protocol.Flow[Any]], content: bytes) -> None:
    running = flow({}, Retries()) if flow is protocol.chat else flow(Retries())
    _, error = drive(running, httpx.Response(200, content=content))
    assert isinstance(error, tenuto.InvalidReply)
