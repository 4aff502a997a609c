"""A real uvicorn server whose responses the tests script byte for byte."""

import asyncio
import contextlib
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import tenuto

EVENT_STREAM = {"Content-Type": "text/event-stream"}


@dataclass(frozen=True)
class ScriptedResponse:
    """One scripted response. Each piece is written separately; `cut` then drops the connection."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Sequence[bytes] = ()
    cut: bool = False
    endless: bool = False


@dataclass
class ScriptedServer:
    """The URL, the responses to send in turn, and the requests received."""

    url: str = ""
    responses: deque[ScriptedResponse] = field(default_factory=deque)
    requests: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)
    disconnected: threading.Event = field(default_factory=threading.Event)

    def will_respond(self, *responses: ScriptedResponse) -> None:
        self.responses.extend(responses)

    def will_send_json(self, value: Any, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.will_respond(
            ScriptedResponse(status, {"Content-Type": "application/json", **named}, [json.dumps(value).encode()])
        )

    @property
    def bodies(self) -> list[Any]:
        return [body for _, _, body in self.requests]

    async def serve(self, request: Request) -> Response:
        content = await request.body()
        self.requests.append((request.url.path, dict(request.headers), json.loads(content) if content else None))
        response = self.responses.popleft()
        return StreamingResponse(self.pieces(response), response.status, response.headers)

    async def pieces(self, response: ScriptedResponse) -> AsyncIterator[bytes]:
        for piece in response.pieces:
            yield piece
            await asyncio.sleep(0)
        if response.cut:
            raise ConnectionAbortedError("dropped by the test")
        try:
            while response.endless:
                yield b": keep-alive\n\n"
                await asyncio.sleep(0.01)
        finally:
            if response.endless:
                self.disconnected.set()


@pytest.fixture(scope="session")
def running_scripted_server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    routes = [Route("/{path:path}", server.serve, methods=["GET", "POST"])]
    config = uvicorn.Config(Starlette(routes=routes), port=0, log_level="critical", timeout_graceful_shutdown=1)
    uvicorn_server = uvicorn.Server(config)
    thread = threading.Thread(target=uvicorn_server.run)
    thread.start()
    while not uvicorn_server.started:
        threading.Event().wait(0.01)
    server.url = f"http://127.0.0.1:{uvicorn_server.servers[0].sockets[0].getsockname()[1]}"
    yield server
    uvicorn_server.should_exit = True
    thread.join()


@pytest.fixture
def scripted(running_scripted_server: ScriptedServer) -> ScriptedServer:
    """The server without scripted responses or recorded requests."""
    running_scripted_server.responses.clear()
    running_scripted_server.requests.clear()
    running_scripted_server.disconnected.clear()
    return running_scripted_server


class SyncCaller:
    """Calls `tenuto.Client`, with a new client for each call."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.url, self.settings = url, settings

    def chat(self, *arguments: Any, **fields: Any) -> tenuto.Reply:
        with tenuto.Client(self.url, **self.settings) as client:
            return client.chat(*arguments, **fields)

    def stream(self, *arguments: Any, into: list[tenuto.Event], first: int | None = None, **fields: Any) -> None:
        """Append events to `into`; close the stream after `first` events."""
        with (
            tenuto.Client(self.url, **self.settings) as client,
            contextlib.closing(client.stream(*arguments, **fields)) as events,
        ):
            for event in events:
                into.append(event)
                if len(into) == first:
                    break

    def sweep(self, *arguments: Any, **fields: Any) -> tuple[tenuto.SweepPoint, ...]:
        with tenuto.Client(self.url, **self.settings) as client:
            return client.sweep(*arguments, **fields)

    def models(self) -> tuple[tenuto.Model, ...]:
        with tenuto.Client(self.url, **self.settings) as client:
            return client.models()

    def ready(self) -> bool:
        with tenuto.Client(self.url, **self.settings) as client:
            return client.ready()


class AsyncCaller(SyncCaller):
    """Calls `tenuto.AsyncClient` through the same blocking methods."""

    def chat(self, *arguments: Any, **fields: Any) -> tenuto.Reply:
        async def call() -> tenuto.Reply:
            async with tenuto.AsyncClient(self.url, **self.settings) as client:
                return await client.chat(*arguments, **fields)

        return asyncio.run(call())

    def stream(self, *arguments: Any, into: list[tenuto.Event], first: int | None = None, **fields: Any) -> None:
        async def call() -> None:
            async with (
                tenuto.AsyncClient(self.url, **self.settings) as client,
                contextlib.aclosing(client.stream(*arguments, **fields)) as events,
            ):
                async for event in events:
                    into.append(event)
                    if len(into) == first:
                        break

        asyncio.run(call())

    def sweep(self, *arguments: Any, **fields: Any) -> tuple[tenuto.SweepPoint, ...]:
        async def call() -> tuple[tenuto.SweepPoint, ...]:
            async with tenuto.AsyncClient(self.url, **self.settings) as client:
                return await client.sweep(*arguments, **fields)

        return asyncio.run(call())

    def models(self) -> tuple[tenuto.Model, ...]:
        async def call() -> tuple[tenuto.Model, ...]:
            async with tenuto.AsyncClient(self.url, **self.settings) as client:
                return await client.models()

        return asyncio.run(call())

    def ready(self) -> bool:
        async def call() -> bool:
            async with tenuto.AsyncClient(self.url, **self.settings) as client:
                return await client.ready()

        return asyncio.run(call())


@pytest.fixture(params=[SyncCaller, AsyncCaller], ids=["sync", "async"])
def make_client(request: pytest.FixtureRequest) -> type[SyncCaller]:
    """Every test that uses this runs with both clients."""
    kind: type[SyncCaller] = request.param
    return kind
