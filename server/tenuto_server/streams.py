"""Streams of events on their way to the client, which is the same few steps for every chunk: so they are kept short."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from vllm.entrypoints.serve.utils.sse_keep_alive import with_sse_keep_alive

#: Key of a scope for the `send` of the outermost middleware; absent where one further in may have to see every chunk.
OUTERMOST_SEND = "tenuto.send"

#: The last event of a stream in OpenAI's shape.
DONE = "data: [DONE]\n\n"


class EventStream(StreamingResponse):
    """Server-sent events.

    Starlette hands every chunk through all layers of the application: its handlers of exceptions, metrics, CORS. What
    these look at is how a response begins and that it has ended, so chunks in between go past them. And it watches for
    the client's leaving with a task group, where two tasks do. The last event goes out with the end of the response.
    """

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streaming = asyncio.create_task(self._stream(send, scope.get(OUTERMOST_SEND, send)))
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((streaming, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            streaming.cancel()
            await asyncio.wait((streaming,))  # until what it draws from is closed
        if not streaming.cancelled():
            streaming.result()

    async def _stream(self, send: Send, send_chunk: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        end = b""
        async with aclosing(self._events) as events:  # also where a client that does not read has stopped it
            async for event in events:
                if event.endswith(DONE):
                    end = event.encode()
                else:
                    await send_chunk({"type": "http.response.body", "body": event.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": end, "more_body": False})


def streamed(events: AsyncGenerator[str, None], raw_request: Request) -> EventStream:
    """Server-sent events, with a sign of life when there are none for long."""
    interval = float(raw_request.app.state.args.sse_keep_alive_interval)
    return EventStream(with_sse_keep_alive(events, interval))
