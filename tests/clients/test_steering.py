"""Steering a running reply, and the id that it is steered by."""

import asyncio
import json
from typing import Any

import pytest

import tenuto
from tests.clients.conftest import EVENT_STREAM, Answer, Sync, Wire

TOLD = {
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


def call(kind: str, wire: Wire, method: str, *arguments: Any) -> Any:
    """A method of the synchronous client, or of the asynchronous one."""
    if kind == "sync":
        with tenuto.Client(wire.url) as client:
            return getattr(client, method)(*arguments)

    async def run() -> Any:
        async with tenuto.AsyncClient(wire.url) as client:
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
def test_an_order_is_sent_and_its_outcome_typed(
    wire: Wire, kind: str, method: str, arguments: tuple[int, ...], body: dict[str, Any]
) -> None:
    wire.will_send_json(TOLD)
    assert call(kind, wire, method, "chatcmpl-1", *arguments) == STEERING
    assert wire.requests[0][0] == "/v1/requests/chatcmpl-1/thinking"
    assert wire.bodies == [body]


def test_an_id_is_a_part_of_the_path_whatever_is_in_it(wire: Wire) -> None:
    wire.will_send_json(TOLD)
    call("sync", wire, "answer_now", "chatcmpl-a b/c")
    assert wire.requests[0][0] == "/v1/requests/chatcmpl-a b/c/thinking"


def test_a_reply_that_has_ended_is_not_found(wire: Wire) -> None:
    error = {"message": "no reply with the id 'x' is running", "type": "NotFoundError", "param": None, "code": 404}
    wire.will_send_json({"error": error}, 404)
    with pytest.raises(tenuto.NotFound, match="is running"):
        call("sync", wire, "answer_now", "x")


def test_a_stream_begins_with_its_id(wire: Wire, make_client: type[Sync]) -> None:
    report = {"tokens": 3, "waits": 0, "ended_by": "cap", "max_thinking_tokens": 3, "steered": 1}
    chunks: list[dict[str, Any]] = [
        {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"role": "assistant"}}]},
        {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "thinking": report}]},
    ]
    frames = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    wire.will_answer(Answer(200, EVENT_STREAM, [*frames, b"data: [DONE]\n\n"]))
    events: list[tenuto.Event] = []
    make_client(wire.url).stream("?", into=events)
    assert events == [
        tenuto.Started("chatcmpl-1"),
        tenuto.ChoiceFinished(0, "stop", tenuto.ThinkingReport(3, 0, "cap", 3, None, {}, 1)),
    ]
