"""Flows, retries and parsing, without a server."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import tenuto
from tenuto import flows
from tenuto.body import chat_body
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
    events = EventParser({}).feed(delta + error)
    assert next(events) == tenuto.ReasoningDelta(1, "Hm")
    with pytest.raises(tenuto.StreamError, match="engine died") as caught:
        next(events)
    assert (caught.value.type, caught.value.code) == ("InternalServerError", 500)


def test_a_stream_without_a_final_event_raises() -> None:
    parser = EventParser({})
    assert list(parser.feed(chunk())) == []
    with pytest.raises(tenuto.StreamError, match="before the reply was complete"):
        parser.finish()
    assert list(parser.feed(DONE)) == []
    parser.finish()


@pytest.mark.parametrize("data", [b"not json", b"[]", b'{"choices": [{}]}', b'{"choices": 3}'])
def test_an_invalid_frame_raises(data: bytes) -> None:
    with pytest.raises(tenuto.StreamError):
        list(EventParser({}).feed(b"data: " + data + b"\n\n"))


def test_tool_calls_are_returned_as_events() -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": "{"}}
    events = EventParser({}).feed(chunk(choices=[{"index": 0, "delta": {"tool_calls": [call]}}]))
    assert list(events) == [tenuto.ToolCallDelta(0, call=0, id="c1", name="add", arguments="{")]
    rest = {"index": 0, "function": {"arguments": "}"}}
    events = EventParser({}).feed(chunk(choices=[{"index": 0, "delta": {"tool_calls": [rest]}}]))
    assert list(events) == [tenuto.ToolCallDelta(0, call=0, id=None, name=None, arguments="}")]


def test_forced_texts_are_events_and_all_of_them_come_again_with_the_last() -> None:
    wait = {"kind": "wait", "start": 5, "text": "Wait"}
    events = list(EventParser({}).feed(chunk(choices=[{"index": 0, "delta": {"reasoning": ","}, "forced": [wait]}])))
    assert events == [tenuto.ReasoningDelta(0, ","), tenuto.TextForced(0, "wait", 5, "Wait")]
    last = {"index": 0, "delta": {}, "finish_reason": "stop", "forced": [wait]}
    events = list(EventParser({}).feed(chunk(choices=[last])))
    assert events == [tenuto.ChoiceFinished(0, "stop", None, (tenuto.TextForced(0, "wait", 5, "Wait"),))]


def test_a_reply_with_tool_calls_continues_the_conversation() -> None:
    function = {"name": "add", "arguments": '{"prices": [9, 4]}'}
    message = {
        "content": None,
        "reasoning": "Hm",
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    content = json.dumps({"id": "1", "model": "m", "choices": [choice], "usage": usage})
    _, reply = run(flows.chat({}, Retries()), httpx.Response(200, content=content))
    (parsed,) = reply.tool_calls
    assert (parsed.id, parsed.name, parsed.parsed) == ("c1", "add", {"prices": [9, 4]})
    assert reply.message == {"role": "assistant", **message}
    assert parsed.result("13") == {"role": "tool", "tool_call_id": "c1", "content": "13"}


def test_a_cut_tool_call_cannot_be_parsed() -> None:
    with pytest.raises(ValueError, match="Unterminated string"):
        _ = tenuto.ToolCall("c1", "add", '{"pri').parsed


PLAIN_REPLY = {
    "id": "1",
    "model": "m",
    "choices": [{"index": 0, "message": {"content": "13"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def test_a_reply_without_a_report_on_its_budget_raises() -> None:
    body = chat_body("hello", max_thinking_tokens=0, num_waits=2)
    _, error = run(flows.chat(body, Retries()), httpx.Response(200, json=PLAIN_REPLY))
    assert isinstance(error, tenuto.BudgetIgnored)
    assert str(error).startswith("the server ignored max_thinking_tokens, num_waits: ")
    assert error.reply is not None
    assert error.reply.content == "13"


@pytest.mark.parametrize("fields", [{}, {"reasoning_effort": "low"}, {"temperature": 0.0}], ids=str)
def test_a_reply_to_a_request_that_every_server_knows_needs_no_report(fields: dict[str, Any]) -> None:
    _, reply = run(flows.chat(chat_body("hello", **fields), Retries()), httpx.Response(200, json=PLAIN_REPLY))
    assert isinstance(reply, tenuto.Reply)


def test_a_stream_without_a_report_on_its_budget_raises_after_its_last_event() -> None:
    parser = EventParser(chat_body("hello", min_thinking_tokens=5))
    last = {"index": 0, "delta": {"content": "13"}, "finish_reason": "stop"}
    assert len(list(parser.feed(chunk(choices=[last]) + DONE))) == 2
    with pytest.raises(tenuto.BudgetIgnored, match="the server ignored min_thinking_tokens"):
        parser.finish()


@pytest.mark.parametrize("flow", [flows.chat, flows.models])
@pytest.mark.parametrize("content", [b"<html>", b"{}", b'{"choices": [{}], "data": [{}]}', b"null"])
def test_a_response_that_does_not_match_the_api_raises(flow: Callable[..., flows.Flow[Any]], content: bytes) -> None:
    started = flow({}, Retries()) if flow is flows.chat else flow(Retries())
    _, error = run(started, httpx.Response(200, content=content))
    assert isinstance(error, tenuto.InvalidReply)
