"""Both clients against a real server on a real socket."""

import inspect
import json
import socket
from typing import Any

import pytest

import tenuto
from tests.clients.conftest import EVENT_STREAM, ScriptedResponse, ScriptedServer, SyncCaller

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


def test_a_reply_is_typed(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    scripted.will_send_json(REPLY)
    reply = make_client(scripted.url).chat("17 + 25?", max_thinking_tokens=8)
    first, second = reply.choices
    assert first == tenuto.Choice(0, "17 + 25 …", "42", "stop", REPORT, ())
    assert second == tenuto.Choice(1, "", "", "length", None, ())
    assert reply.usage == tenuto.Usage(3, 7, 10, 5)
    assert (reply.content, reply.reasoning, reply.thinking) == ("42", "17 + 25 …", REPORT)
    assert reply.raw == REPLY
    assert scripted.bodies == [{"messages": [{"role": "user", "content": "17 + 25?"}], "max_thinking_tokens": 8}]


def test_the_key_and_the_path_are_sent(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    scripted.will_send_json(REPLY)
    make_client(f"{scripted.url}/v1/", api_key="secret").chat("?")
    path, headers, _ = scripted.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer secret"
    assert headers["user-agent"] == f"tenuto/{tenuto.__version__}"


def test_each_attempt_has_an_id_of_its_own(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    """Routers choose the replica by it: the next attempt may go to one that is not full."""
    scripted.will_send_json({}, 503, Retry_After="0")
    scripted.will_send_json(REPLY)
    make_client(scripted.url).chat("?")
    first, second = (headers["x-request-id"] for _, headers, _ in scripted.requests)
    assert first != second
    assert len(first) == len(second) == 32


@pytest.mark.parametrize(("given", "sent"), [("bill:7", "bill:7"), ("a b", "a%20b"), ("ü", "%C3%BC")])
def test_the_id_of_the_body_is_the_one_in_the_header(
    scripted: ScriptedServer, make_client: type[SyncCaller], given: str, sent: str
) -> None:
    scripted.will_send_json(REPLY)
    make_client(scripted.url).chat("?", request_id=given)
    assert scripted.requests[0][1]["x-request-id"] == sent


@pytest.mark.parametrize("size", [1, 7, len(STREAM)])
def test_a_stream_gives_the_same_events_for_any_chunk_size(
    scripted: ScriptedServer, make_client: type[SyncCaller], size: int
) -> None:
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, pieces))
    events: list[tenuto.Event] = []
    make_client(scripted.url).stream("17 + 25?", into=events, num_waits=1)
    assert events == EVENTS
    assert scripted.bodies[0]["stream"] is True
    assert scripted.bodies[0]["stream_options"] == {"include_usage": True}
    assert scripted.bodies[0]["num_waits"] == 1


def test_a_dropped_stream_raises_after_the_events_that_arrived(
    scripted: ScriptedServer, make_client: type[SyncCaller]
) -> None:
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, [FRAMES], cut=True))
    events: list[tenuto.Event] = []
    with pytest.raises(tenuto.StreamError, match="was interrupted"):
        make_client(scripted.url).stream("?", into=events)
    assert events == EVENTS


def test_a_stream_without_a_final_event_raises(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, [FRAMES]))
    with pytest.raises(tenuto.StreamError, match="before the reply was complete"):
        make_client(scripted.url).stream("?", into=[])


def test_an_error_event_raises_after_the_events_before_it(
    scripted: ScriptedServer, make_client: type[SyncCaller]
) -> None:
    error = b'data: {"error": {"message": "engine died", "type": "InternalServerError", "code": 500}}\n\n'
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, [FRAMES, error]))
    events: list[tenuto.Event] = []
    with pytest.raises(tenuto.StreamError, match="engine died"):
        make_client(scripted.url).stream("?", into=events)
    assert events == EVENTS


def test_closing_a_stream_closes_the_connection(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, [FRAMES], endless=True))
    events: list[tenuto.Event] = []
    make_client(scripted.url).stream("?", into=events, first=2)
    assert events == EVENTS[:2]
    assert scripted.disconnected.wait(10)


def test_a_bad_request_names_the_field(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    error = {"message": "must be >= 0", "type": "BadRequestError", "param": "max_thinking_tokens", "code": 400}
    client = make_client(scripted.url)
    scripted.will_send_json({"error": error}, 400)
    with pytest.raises(tenuto.BadRequest, match=r"must be >= 0 \(HTTP 400\)") as caught:
        client.chat("?", max_thinking_tokens=-1)
    assert caught.value.param == "max_thinking_tokens"
    scripted.will_send_json({"error": error}, 400)
    with pytest.raises(tenuto.BadRequest) as caught:
        client.stream("?", into=[], max_thinking_tokens=-1)
    assert caught.value.param == "max_thinking_tokens"


def test_a_redirect_is_not_followed(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    """Regression: a redirected stream raised httpx.ResponseNotRead, because only the bodies of errors were read."""
    client = make_client(scripted.url)
    for call in (lambda: client.chat("?"), lambda: client.stream("?", into=[])):
        scripted.will_send_json({}, 307, Location="/elsewhere")
        with pytest.raises(tenuto.APIError) as caught:
            call()
        assert caught.value.status == 307


def test_a_request_to_an_overloaded_server_is_retried(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    scripted.will_send_json({"error": {"message": "full"}}, 503, Retry_After="0")
    scripted.will_send_json({"error": {"message": "full"}}, 429, Retry_After="0")
    scripted.will_send_json(REPLY)
    assert make_client(scripted.url).chat("?").content == "42"
    assert scripted.bodies[0] == scripted.bodies[1] == scripted.bodies[2]


def test_a_stream_is_retried_too(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    scripted.will_send_json({"error": {"message": "full"}}, 503, Retry_After="0")
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, [STREAM]))
    events: list[tenuto.Event] = []
    make_client(scripted.url).stream("?", into=events)
    assert events == EVENTS


def test_retries_are_bounded(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    for _ in range(2):
        scripted.will_send_json({"error": {"message": "full"}}, 503, Retry_After="0")
    client = make_client(scripted.url, retries=tenuto.Retries(limit=1))
    with pytest.raises(tenuto.Overloaded) as caught:
        client.chat("?")
    assert caught.value.retry_after == 0.0
    assert len(scripted.requests) == 2


def test_the_timeout_limits_the_time_without_data(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = make_client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1)
        with pytest.raises(tenuto.ConnectionFailed, match="ReadTimeout"):
            client.chat("?")


def test_models(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    scripted.will_send_json({"object": "list", "data": [{"id": "s1-tiny", "max_model_len": 4096}, {"id": "lora"}]})
    assert make_client(scripted.url).models() == (tenuto.Model("s1-tiny", 4096), tenuto.Model("lora", None))
    assert scripted.requests[0][0] == "/v1/models"


def test_ready_says_whether_requests_are_accepted(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    client = make_client(scripted.url)
    scripted.will_send_json({})
    assert client.ready()
    scripted.will_send_json({"error": {"message": "loading"}}, 503)
    assert not client.ready()
    scripted.will_send_json({"detail": "Not Found"}, 404)
    with pytest.raises(tenuto.NotFound):
        client.ready()


def test_a_refused_connection(make_client: type[SyncCaller]) -> None:
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
