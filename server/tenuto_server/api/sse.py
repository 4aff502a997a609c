"""Server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ..vllm_compat import with_sse_keep_alive


class EventStream(StreamingResponse):
    """Server-sent events whose generator is closed before the request ends, whatever ends it.

    Starlette runs a stream in an anyio task group, which cancels every await of its clean-up too and leaves a generator
    that waits for a slow client to the garbage collector. Here the stream is cancelled once and then awaited, so that
    the engine aborts the generation before the request ends.
    """

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streaming = asyncio.create_task(self.stream_response(send))
        disconnect = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((streaming, disconnect), return_when=asyncio.FIRST_COMPLETED)
        finally:
            disconnect.cancel()
            streaming.cancel()
            await asyncio.wait((streaming,))
        if not streaming.cancelled():
            streaming.result()

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._events):
            await super().stream_response(send)


def event_stream(events: AsyncGenerator[str, None], raw_request: Request) -> EventStream:
    """The events as a response, with keep-alive comments while there are none."""
    interval = float(raw_request.app.state.args.sse_keep_alive_interval)
    return EventStream(with_sse_keep_alive(events, interval))
