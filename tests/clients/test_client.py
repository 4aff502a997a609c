"""Both clients against a real server on a real socket."""

import inspect
import json
import socket
from typing import Any

import pytest

import tenuto
from tests.clients.conftest import EVENT_STREAM, Answer, Sync, Wire

SET_BY = {"max_thinking_tokens": "request"}
THINKING = {"tokens": 5, "waits": 1, "ended_by": "cap", "max_thinking_tokens": 8, "set_by": SET_BY}
REPORT = tenuto.ThinkingReport(5, 1, "cap", 8, None, SET_BY)
USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 7,
    "total_tokens": 10,
    "completion_tokens_details": {"reasoning_tokens": 5},
}
REPLY = {
    "id": "chatcmpl-1",
    "model": "s1-tiny",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "reasoning": "17 + 25 …",
                "reasoning_content": "17 + 25 …",
                "content": "42",
            },
            "finish_reason": "stop",
            "thinking": THINKING,
        },
        {"index": 1, "message": {"role": "assistant", "content": None}, "finish_reason": "length"},
    ],
    "usage": USAGE,
}
CHUNKS: list[dict[str, Any]] = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"index": 0, "delta": {"reasoning": "Hm – é", "reasoning_content": "Hm – é"}}]},
    {"choices": [{"index": 0, "delta": {"content": "42 🙂"}}]},
    {"choices": [{"index": 0, "delta": {"content": "!"}, "finish_reason": "stop", "thinking": THINKING}]},
    {"choices": [], "usage": USAGE},
]
FRAMES = b"".join(b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\r\n\r\n" for chunk in CHUNKS)
STREAM = b": ping\r\n\r\n" + FRAMES + b"data: [DONE]\r\n\r\n"
EVENTS: list[tenuto.Event] = [
    tenuto.ReasoningDelta(0, "Hm – é"),
    tenuto.ContentDelta(0, "42 🙂"),
    tenuto.ContentDelta(0, "!"),
    tenuto.ChoiceFinished(0, "stop", REPORT),
    tenuto.UsageReported(tenuto.Usage(3, 7, 10, 5)),
]


def test_a_reply_is_typed(wire: Wire, make_client: type[Sync]) -> None:
    wire.will_send_json(REPLY)
    reply = make_client(wire.url).chat("17 + 25?", max_thinking_tokens=8)
    first, second = reply.choices
    assert first == tenuto.Choice(0, "17 + 25 …", "42", "stop", REPORT, ())
    assert second == tenuto.Choice(1, "", "", "length", None, ())
    assert reply.usage == tenuto.Usage(3, 7, 10, 5)
    assert (reply.content, reply.reasoning, reply.thinking) == ("42", "17 + 25 …", REPORT)
    assert reply.raw == REPLY
    assert wire.bodies == [{"messages": [{"role": "user", "content": "17 + 25?"}], "max_thinking_tokens": 8}]


def test_the_key_and_the_path_are_sent(wire: Wire, make_client: type[Sync]) -> None:
    wire.will_send_json(REPLY)
    make_client(f"{wire.url}/v1/", api_key="secret").chat("?")
    path, headers, _ = wire.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer secret"
    assert headers["user-agent"] == f"tenuto/{tenuto.__version__}"


@pytest.mark.parametrize("size", [1, 7, len(STREAM)])
def test_a_stream_is_the_same_however_it_is_written(wire: Wire, make_client: type[Sync], size: int) -> None:
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    wire.will_answer(Answer(200, EVENT_STREAM, pieces))
    events: list[tenuto.Event] = []
    make_client(wire.url).stream("17 + 25?", into=events, num_waits=1)
    assert events == EVENTS
    assert wire.bodies[0]["stream"] is True
    assert wire.bodies[0]["stream_options"] == {"include_usage": True}
    assert wire.bodies[0]["num_waits"] == 1


def test_a_cut_stream_is_an_error_after_what_arrived(wire: Wire, make_client: type[Sync]) -> None:
    wire.will_answer(Answer(200, EVENT_STREAM, [FRAMES], cut=True))
    events: list[tenuto.Event] = []
    with pytest.raises(tenuto.StreamError, match="broke off"):
        make_client(wire.url).stream("?", into=events)
    assert events == EVENTS


def test_a_stream_that_merely_ends_is_an_error(wire: Wire, make_client: type[Sync]) -> None:
    wire.will_answer(Answer(200, EVENT_STREAM, [FRAMES]))
    with pytest.raises(tenuto.StreamError, match="before the reply was complete"):
        make_client(wire.url).stream("?", into=[])


def test_an_error_inside_a_stream(wire: Wire, make_client: type[Sync]) -> None:
    error = b'data: {"error": {"message": "engine died", "type": "InternalServerError", "code": 500}}\n\n'
    wire.will_answer(Answer(200, EVENT_STREAM, [FRAMES, error]))
    events: list[tenuto.Event] = []
    with pytest.raises(tenuto.StreamError, match="engine died"):
        make_client(wire.url).stream("?", into=events)
    assert events == EVENTS


def test_closing_a_stream_closes_the_connection(wire: Wire, make_client: type[Sync]) -> None:
    wire.will_answer(Answer(200, EVENT_STREAM, [FRAMES], endless=True))
    events: list[tenuto.Event] = []
    make_client(wire.url).stream("?", into=events, first=2)
    assert events == EVENTS[:2]
    assert wire.abandoned.wait(10)


def test_a_bad_request_names_the_field(wire: Wire, make_client: type[Sync]) -> None:
    error = {"message": "must be >= 0", "type": "BadRequestError", "param": "max_thinking_tokens", "code": 400}
    client = make_client(wire.url)
    wire.will_send_json({"error": error}, 400)
    with pytest.raises(tenuto.BadRequest, match=r"must be >= 0 \(HTTP 400\)") as caught:
        client.chat("?", max_thinking_tokens=-1)
    assert caught.value.param == "max_thinking_tokens"
    wire.will_send_json({"error": error}, 400)
    with pytest.raises(tenuto.BadRequest) as caught:
        client.stream("?", into=[], max_thinking_tokens=-1)
    assert caught.value.param == "max_thinking_tokens"


def test_a_redirect_is_not_followed(wire: Wire, make_client: type[Sync]) -> None:
    """It used to end a stream with httpx's own ResponseNotRead: only errors were read, and a redirect is none."""
    client = make_client(wire.url)
    for call in (lambda: client.chat("?"), lambda: client.stream("?", into=[])):
        wire.will_send_json({}, 307, Location="/elsewhere")
        with pytest.raises(tenuto.APIError) as caught:
            call()
        assert caught.value.status == 307


def test_an_overloaded_server_is_asked_again(wire: Wire, make_client: type[Sync]) -> None:
    wire.will_send_json({"error": {"message": "full"}}, 503, Retry_After="0")
    wire.will_send_json({"error": {"message": "full"}}, 429, Retry_After="0")
    wire.will_send_json(REPLY)
    assert make_client(wire.url).chat("?").content == "42"
    assert wire.bodies[0] == wire.bodies[1] == wire.bodies[2]


def test_a_stream_too_is_asked_for_again(wire: Wire, make_client: type[Sync]) -> None:
    wire.will_send_json({"error": {"message": "full"}}, 503, Retry_After="0")
    wire.will_answer(Answer(200, EVENT_STREAM, [STREAM]))
    events: list[tenuto.Event] = []
    make_client(wire.url).stream("?", into=events)
    assert events == EVENTS


def test_retries_are_bounded(wire: Wire, make_client: type[Sync]) -> None:
    for _ in range(2):
        wire.will_send_json({"error": {"message": "full"}}, 503, Retry_After="0")
    client = make_client(wire.url, retries=tenuto.Retries(limit=1))
    with pytest.raises(tenuto.Overloaded) as caught:
        client.chat("?")
    assert caught.value.retry_after == 0.0
    assert len(wire.requests) == 2


def test_silence_is_endured_only_as_long_as_asked(wire: Wire, make_client: type[Sync]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = make_client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1)
        with pytest.raises(tenuto.ConnectionFailed, match="ReadTimeout"):
            client.chat("?")


def test_models(wire: Wire, make_client: type[Sync]) -> None:
    wire.will_send_json({"object": "list", "data": [{"id": "s1-tiny", "max_model_len": 4096}, {"id": "lora"}]})
    assert make_client(wire.url).models() == (tenuto.Model("s1-tiny", 4096), tenuto.Model("lora", None))
    assert wire.requests[0][0] == "/v1/models"


def test_ready_says_whether_requests_are_taken(wire: Wire, make_client: type[Sync]) -> None:
    client = make_client(wire.url)
    wire.will_send_json({})
    assert client.ready()
    wire.will_send_json({"error": {"message": "loading"}}, 503)
    assert not client.ready()
    wire.will_send_json({"detail": "Not Found"}, 404)
    with pytest.raises(tenuto.NotFound):
        client.ready()


def test_where_nobody_listens(make_client: type[Sync]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    client = make_client(url)
    assert not client.ready()
    with pytest.raises(tenuto.ConnectionFailed) as caught:
        client.chat("?")
    assert caught.value.__cause__ is not None


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    names = {name for name in vars(tenuto.Client) if not name.startswith("_")}
    assert names == {name for name in vars(tenuto.AsyncClient) if not name.startswith("_")}
    for name in names:
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (tenuto.Client, tenuto.AsyncClient))
        assert list(ours.parameters.values()) == list(theirs.parameters.values())


def test_the_signature_names_the_budget_fields() -> None:
    parameters = inspect.signature(tenuto.AsyncClient.stream).parameters
    assert list(parameters)[:4] == ["self", "messages", "model", "max_thinking_tokens"]
