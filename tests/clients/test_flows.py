"""Flows, retries and parsing, without a server."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import tenuto
from tenuto import flows
from tenuto.event_parser import EventParser
from tenuto.flows import APIRequest, Retries

DONE = b"data: [DONE]\n\n"


def run(flow: flows.Flow[Any], *send_results: flows.SendResult) -> tuple[list[float], Any]:
    """Send the results in turn; return the pauses that the flow requested, and its result or exception."""
    pauses, request, remaining = [], next(flow), list(send_results)
    while True:
        pauses.append(request.pause)
        try:
            request = flow.send(remaining.pop(0))
        except StopIteration as finished:
            return pauses, finished.value
        except tenuto.TenutoError as error:
            return pauses, error


def overloaded(**headers: str) -> httpx.Response:
    return httpx.Response(503, headers={name.replace("_", "-"): text for name, text in headers.items()})


def attempts(*send_results: flows.SendResult) -> tuple[list[float], Any]:
    return run(flows.send_with_retries(APIRequest("GET", "/"), Retries()), *send_results)


def test_retry_after_is_honoured() -> None:
    success = httpx.Response(200)
    assert attempts(overloaded(Retry_After="7"), overloaded(Retry_After="0"), success) == ([0.0, 7.0, 0.0], success)


def test_pauses_double_without_a_retry_after() -> None:
    pauses, error = attempts(overloaded(), overloaded(), overloaded())
    assert pauses[0] == 0.0
    assert 0.5 <= pauses[1] <= 0.625
    assert 1.0 <= pauses[2] <= 1.25
    assert isinstance(error, tenuto.Overloaded)


def test_a_retry_after_that_is_too_long_raises_at_once() -> None:
    pauses, error = attempts(overloaded(Retry_After="61"))
    assert pauses == [0.0]
    assert error.retry_after == 61.0


@pytest.mark.parametrize("send_result", [httpx.ConnectError("refused"), httpx.Response(500), httpx.Response(400)])
def test_other_errors_are_not_retried(send_result: flows.SendResult) -> None:
    pauses, error = attempts(send_result)
    assert pauses == [0.0]
    assert isinstance(error, tenuto.TenutoError)


def chunk(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [], **fields}).encode() + b"\n\n"


def test_events_before_an_error_are_returned() -> None:
    delta = chunk(choices=[{"index": 1, "delta": {"reasoning_content": "Hm"}, "finish_reason": None}])
    error = b'data: {"error": {"message": "engine died", "type": "InternalServerError", "code": 500}}\n\n'
    events = EventParser().feed(delta + error)
    assert next(events) == tenuto.ReasoningDelta(1, "Hm")
    with pytest.raises(tenuto.StreamError, match="engine died") as caught:
        next(events)
    assert (caught.value.type, caught.value.code) == ("InternalServerError", 500)


def test_a_stream_without_a_final_event_raises() -> None:
    parser = EventParser()
    assert list(parser.feed(chunk())) == []
    with pytest.raises(tenuto.StreamError, match="before the reply was complete"):
        parser.finish()
    assert list(parser.feed(DONE)) == []
    parser.finish()


@pytest.mark.parametrize("data", [b"not json", b"[]", b'{"choices": [{}]}', b'{"choices": 3}'])
def test_an_invalid_frame_raises(data: bytes) -> None:
    with pytest.raises(tenuto.StreamError):
        list(EventParser().feed(b"data: " + data + b"\n\n"))


def test_tool_calls_are_returned_as_events() -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": "{"}}
    events = EventParser().feed(chunk(choices=[{"index": 0, "delta": {"tool_calls": [call]}}]))
    assert list(events) == [tenuto.ToolCallsDelta(0, (call,))]


@pytest.mark.parametrize("flow", [flows.chat, flows.models])
@pytest.mark.parametrize("content", [b"<html>", b"{}", b'{"choices": [{}], "data": [{}]}', b"null"])
def test_a_response_that_does_not_match_the_api_raises(flow: Callable[..., flows.Flow[Any]], content: bytes) -> None:
    started = flow({}, Retries()) if flow is flows.chat else flow(Retries())
    _, error = run(started, httpx.Response(200, content=content))
    assert isinstance(error, tenuto.InvalidReply)
