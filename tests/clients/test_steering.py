"""Steering requests, and the id of the reply that they name."""

import asyncio
import json
from typing import Any

import pytest

import tenuto
from tests.clients.conftest import EVENT_STREAM, ScriptedResponse, ScriptedServer, SyncCaller

RESPONSE = {
    "id": "chatcmpl-1",
    "object": "thinking.steering",
    "choices": [
        {"index": 0, "applied": True, "phase": "thinking", "tokens": 57},
        {"index": 1, "applied": None, "phase": "waiting", "tokens": 0},
    ],
}
STEERING = tenuto.Steering(
    "chatcmpl-1", (tenuto.SteeredChoice(0, True, "thinking", 57), tenuto.SteeredChoice(1, None, "waiting", 0))
)


def call(kind: str, scripted: ScriptedServer, method: str, *arguments: Any) -> Any:
    """Call a method of the synchronous or the asynchronous client."""
    if kind == "sync":
        with tenuto.Client(scripted.url) as client:
            return getattr(client, method)(*arguments)

    async def run() -> Any:
        async with tenuto.AsyncClient(scripted.url) as client:
            return await getattr(client, method)(*arguments)

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    ("method", "arguments", "body"),
    [
        ("answer_now", (), {"action": "answer_now"}),
        ("think_until", (500,), {"action": "think_until", "min_thinking_tokens": 500}),
        ("think_until", (0,), {"action": "think_until", "min_thinking_tokens": 0}),
    ],
)
def test_a_steering_request_is_sent_and_its_result_is_typed(
    scripted: ScriptedServer, kind: str, method: str, arguments: tuple[int, ...], body: dict[str, Any]
) -> None:
    scripted.will_send_json(RESPONSE)
    assert call(kind, scripted, method, "chatcmpl-1", *arguments) == STEERING
    assert scripted.requests[0][0] == "/v1/requests/chatcmpl-1/thinking"
    assert scripted.bodies == [body]


def test_the_id_is_escaped_in_the_path(scripted: ScriptedServer) -> None:
    scripted.will_send_json(RESPONSE)
    call("sync", scripted, "answer_now", "chatcmpl-a b/c")
    assert scripted.requests[0][0] == "/v1/requests/chatcmpl-a b/c/thinking"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_steering_request_has_the_request_id_of_its_reply(scripted: ScriptedServer, kind: str) -> None:
    """A router that chooses by this header then reaches the replica that writes the reply."""
    scripted.will_send_json(RESPONSE)
    call(kind, scripted, "answer_now", "chatcmpl-bill:7")
    assert scripted.requests[0][1]["x-request-id"] == "bill:7"


def test_a_reply_that_has_ended_is_not_found(scripted: ScriptedServer) -> None:
    error = {"message": "no reply with the id 'x' is running", "type": "NotFoundError", "param": None, "code": 404}
    scripted.will_send_json({"error": error}, 404)
    with pytest.raises(tenuto.NotFound, match="is running"):
        call("sync", scripted, "answer_now", "x")


def test_the_first_event_of_a_stream_has_the_id(scripted: ScriptedServer, make_client: type[SyncCaller]) -> None:
    report = {"tokens": 3, "waits": 0, "ended_by": "cap", "max_thinking_tokens": 3, "steered": 1}
    chunks: list[dict[str, Any]] = [
        {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"role": "assistant"}}]},
        {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "thinking": report}]},
    ]
    frames = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, [*frames, b"data: [DONE]\n\n"]))
    events: list[tenuto.Event] = []
    make_client(scripted.url).stream("?", into=events)
    assert events == [
        tenuto.Started("chatcmpl-1"),
        tenuto.ChoiceFinished(0, "stop", tenuto.ThinkingReport(3, 0, "cap", 3, None, {}, 1)),
    ]
