"""A real uvicorn whose answers a test writes down, byte for byte: what the client has to cope with on the wire."""

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
class Answer:
    """One scripted answer. Each piece is a write of its own; `cut` drops the connection after them."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: Sequence[bytes] = ()
    cut: bool = False
    endless: bool = False


@dataclass
class Wire:
    """The server's address, the answers it will give in turn, and the requests that came."""

    url: str = ""
    answers: deque[Answer] = field(default_factory=deque)
    requests: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)
    abandoned: threading.Event = field(default_factory=threading.Event)

    def will_answer(self, *answers: Answer) -> None:
        self.answers.extend(answers)

    def will_send_json(self, value: Any, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.will_answer(Answer(status, {"Content-Type": "application/json", **named}, [json.dumps(value).encode()]))

    @property
    def bodies(self) -> list[Any]:
        return [body for _, _, body in self.requests]

    async def serve(self, request: Request) -> Response:
        content = await request.body()
        self.requests.append((request.url.path, dict(request.headers), json.loads(content) if content else None))
        answer = self.answers.popleft()
        return StreamingResponse(self.pieces(answer), answer.status, answer.headers)

    async def pieces(self, answer: Answer) -> AsyncIterator[bytes]:
        for piece in answer.pieces:
            yield piece
            await asyncio.sleep(0)
        if answer.cut:
            raise ConnectionAbortedError("cut, as the test asked")
        try:
            while answer.endless:
                yield b": still there\n\n"
                await asyncio.sleep(0.01)
        finally:
            if answer.endless:
                self.abandoned.set()


@pytest.fixture(scope="session")
def running_wire() -> Iterator[Wire]:
    wire = Wire()
    routes = [Route("/{path:path}", wire.serve, methods=["GET", "POST"])]
    config = uvicorn.Config(Starlette(routes=routes), port=0, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    wire.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield wire
    server.should_exit = True
    thread.join()


@pytest.fixture
def wire(running_wire: Wire) -> Wire:
    """The wire with nothing written on it."""
    running_wire.answers.clear()
    running_wire.requests.clear()
    running_wire.abandoned.clear()
    return running_wire


class Sync:
    """`tenuto.Client`, one client for each call."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.url, self.settings = url, settings

    def chat(self, *arguments: Any, **fields: Any) -> tenuto.Reply:
        with tenuto.Client(self.url, **self.settings) as client:
            return client.chat(*arguments, **fields)

    def stream(self, *arguments: Any, into: list[tenuto.Event], first: int | None = None, **fields: Any) -> None:
        """Append events to `into`, closing the stream after the `first` ones."""
        with (
            tenuto.Client(self.url, **self.settings) as client,
            contextlib.closing(client.stream(*arguments, **fields)) as events,
        ):
            for event in events:
                into.append(event)
                if len(into) == first:
                    break

    def models(self) -> tuple[tenuto.Model, ...]:
        with tenuto.Client(self.url, **self.settings) as client:
            return client.models()

    def ready(self) -> bool:
        with tenuto.Client(self.url, **self.settings) as client:
            return client.ready()


class Async(Sync):
    """`tenuto.AsyncClient`, behind the same blocking calls."""

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


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def make_client(request: pytest.FixtureRequest) -> type[Sync]:
    """Every test that takes this runs once with each of the two clients."""
    kind: type[Sync] = request.param
    return kind
