"""Streams reach the client through every layer, and end when the client disconnects."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenuto_server.api.sse import EventStream
from tenuto_server.middleware.request_log import RequestLog, RequestRecord, current_record

START = ("http.response.start", None)
EVENTS = ["data: 1\n\n", "data: {}\n\n", "data: ü\n\n"]


async def events() -> AsyncGenerator[str, None]:
    for event in EVENTS:
        yield event


async def silence() -> Message:
    """A client that stays connected and sends nothing."""
    await asyncio.Event().wait()
    raise AssertionError


def kept(into: list[Message]) -> Send:
    async def keep(message: Message) -> None:
        into.append(message)

    return keep


def layer(app: ASGIApp, seen: list[Message]) -> ASGIApp:
    """A middleware that records what passes through it."""

    async def layered(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            seen.append(message)
            await send(message)

        await app(scope, receive, sending)

    return layered


async def request(app: ASGIApp, receive: Callable[[], Awaitable[Message]] = silence) -> list[Message]:
    """The messages that the server sends."""
    sent: list[Message] = []
    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    await app(scope, receive, kept(sent))
    return sent


def contents(messages: list[Message]) -> list[tuple[str, Any]]:
    return [(message["type"], message.get("body")) for message in messages]


WHOLE = [START, *(("http.response.body", event.encode()) for event in EVENTS), ("http.response.body", b"")]


async def test_every_layer_sees_every_chunk() -> None:
    seen: list[Message] = []
    records: list[RequestRecord] = []

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        records.append(current_record())
        await EventStream(events())(scope, receive, send)

    sent = await request(RequestLog(layer(endpoint, seen)))
    assert contents(sent) == contents(seen) == WHOLE
    assert [message.get("more_body") for message in sent[1:]] == [True, True, True, False]
    assert records[0].is_complete
    assert records[0].first_byte is not None


async def test_an_error_in_a_stream_is_raised_to_the_application() -> None:
    async def broken() -> AsyncGenerator[str, None]:
        yield EVENTS[0]
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await request(EventStream(broken()))


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_stream_is_closed_before_its_request_ends(leaves: bool) -> None:
    """Whether the client disconnects or the server ends the request."""
    began, closed = asyncio.Event(), list[str]()

    async def endless() -> AsyncGenerator[str, None]:
        try:
            yield EVENTS[0]
            began.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)  # as long as it takes to abort in the engine
            closed.append("stream")

    async def leave() -> Message:
        await began.wait()
        if leaves:
            return {"type": "http.disconnect"}
        return await silence()

    async def run() -> None:
        try:
            await request(EventStream(endless()), leave)
        finally:
            closed.append("request")

    running = asyncio.create_task(run())
    await began.wait()
    if not leaves:
        running.cancel()
    await asyncio.wait((running,))
    assert closed == ["stream", "request"]
    assert running.cancelled() is not leaves


async def test_a_stream_is_closed_if_a_client_disconnects_that_was_not_reading() -> None:
    """Then the stream is not waiting for an event, but for the client to read."""
    stuck, closed = asyncio.Event(), list[str]()

    async def endless() -> AsyncGenerator[str, None]:
        try:
            while True:
                yield EVENTS[0]
        finally:
            await asyncio.sleep(0)
            closed.append("stream")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            stuck.set()
            await asyncio.Event().wait()

    async def leave() -> Message:
        await stuck.wait()
        return {"type": "http.disconnect"}

    stream = endless()  # held here, so that nothing else closes it
    await EventStream(stream)({"type": "http"}, leave, send)
    assert closed == ["stream"]
