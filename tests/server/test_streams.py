"""Streams on their way to the client: past the layers that need not see every chunk, and over when nobody listens."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenuto_server.journal import Journal, Record, current_record
from tenuto_server.streams import DONE, OUTERMOST_SEND, EventStream

START = ("http.response.start", None)
EVENTS = ["data: 1\n\n", "data: {}\n\n", "data: ü\n\n"]


async def events() -> AsyncGenerator[str, None]:
    for event in EVENTS:
        yield event


async def silence() -> Message:
    """A client that listens and says nothing."""
    await asyncio.Event().wait()
    raise AssertionError


def kept(into: list[Message]) -> Send:
    async def keep(message: Message) -> None:
        into.append(message)

    return keep


def layer(app: ASGIApp, seen: list[Message]) -> ASGIApp:
    """A middleware that sees what passes it."""

    async def layered(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            seen.append(message)
            await send(message)

        await app(scope, receive, sending)

    return layered


async def ask(app: ASGIApp, receive: Callable[[], Awaitable[Message]] = silence) -> list[Message]:
    """What comes out of the server."""
    sent: list[Message] = []
    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    await app(scope, receive, kept(sent))
    return sent


def shown(messages: list[Message]) -> list[tuple[str, Any]]:
    return [(message["type"], message.get("body")) for message in messages]


WHOLE = [START, *(("http.response.body", event.encode()) for event in EVENTS), ("http.response.body", b"")]


async def test_the_last_event_goes_out_with_the_end_of_the_response() -> None:
    async def told() -> AsyncGenerator[str, None]:
        yield EVENTS[0]
        yield EVENTS[1] + DONE

    sent = await ask(EventStream(told()))
    assert [(message["body"], message["more_body"]) for message in sent[1:]] == [
        (EVENTS[0].encode(), True),
        ((EVENTS[1] + DONE).encode(), False),
    ]


@pytest.mark.parametrize("is_short_way", [True, False])
async def test_layers_see_how_a_stream_begins_and_that_it_ended_and_all_of_it_where_they_must(
    is_short_way: bool,
) -> None:
    seen: list[Message] = []
    records: list[Record] = []

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        records.append(current_record())
        await EventStream(events())(scope, receive, send)

    sent = await ask(Journal(layer(endpoint, seen), is_short_way=is_short_way))
    assert shown(sent) == WHOLE
    assert shown(seen) == ([WHOLE[0], WHOLE[-1]] if is_short_way else WHOLE)
    assert [message.get("more_body") for message in sent[1:]] == [True, True, True, False]
    assert records[0].is_complete
    assert records[0].first_byte is not None


async def test_a_scope_keeps_nothing_of_the_way_out() -> None:
    """The server's own `send` holds the scope, so each request would wait for the garbage collector."""
    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    await Journal(EventStream(events()), is_short_way=True)(scope, silence, kept([]))
    assert OUTERMOST_SEND not in scope


async def test_without_a_journal_a_stream_takes_the_way_that_there_is() -> None:
    seen: list[Message] = []
    sent = await ask(layer(EventStream(events()), seen))
    assert shown(sent) == shown(seen) == WHOLE


async def test_an_error_in_a_stream_is_the_applications() -> None:
    async def broken() -> AsyncGenerator[str, None]:
        yield EVENTS[0]
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await ask(EventStream(broken()))


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_stream_is_closed_before_its_request_is_over_whoever_ends_it(leaves: bool) -> None:
    """The client, by going away, or the server, by ending the request."""
    began, closed = asyncio.Event(), list[str]()

    async def endless() -> AsyncGenerator[str, None]:
        try:
            yield EVENTS[0]
            began.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)  # it takes a while to tell the engine
            closed.append("stream")

    async def leave() -> Message:
        await began.wait()
        if leaves:
            return {"type": "http.disconnect"}
        return await silence()

    async def request() -> None:
        try:
            await ask(EventStream(endless()), leave)
        finally:
            closed.append("request")

    running = asyncio.create_task(request())
    await began.wait()
    if not leaves:
        running.cancel()
    await asyncio.wait((running,))
    assert closed == ["stream", "request"]
    assert running.cancelled() is not leaves


async def test_a_stream_is_closed_too_when_its_client_goes_that_has_not_read() -> None:
    """It is not the stream that waits then, but the way to the client."""
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
