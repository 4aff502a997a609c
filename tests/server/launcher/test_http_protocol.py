"""Limits on what comes before a body and after it, on a real uvicorn; and what of uvicorn these limits rely on."""

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tenuto_server.launcher.http_protocol import BoundedHeadProtocol

LIMIT, COUNT = 2000, 20


async def answer(request: Request) -> PlainTextResponse:
    size = len(await request.body())
    return PlainTextResponse(f"{size} bytes{', and a trailer' if 'x-late' in request.headers else ''}")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    protocol = BoundedHeadProtocol.with_limits(LIMIT, COUNT)
    config = uvicorn.Config(app, http=protocol, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server._serve(sockets=[listener]))
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


async def exchange(port: int, *pieces: bytes) -> bytes:
    """Send pieces one by one until the server closes the connection; all that it answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.write_eof()
    except ConnectionError:
        pass
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()


def request(headers: bytes, body: bytes = b"", path: bytes = b"/") -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: server\r\nContent-Length: %d\r\n" % (path, len(body))
    return head + headers + b"\r\n" + body


async def test_ordinary_requests_on_one_connection(port: int) -> None:
    usual = request(b"X-Padding: " + b"x" * 1500 + b"\r\n", b"b" * 100_000)
    answers = await exchange(port, usual, usual, usual[:700], usual[700:])
    assert answers.count(b"100000 bytes") == 3


@pytest.mark.parametrize(
    "wrong",
    [
        request(b"X-Padding: " + b"x" * LIMIT + b"\r\n", b"body"),
        request(b"X: y\r\n" * 400),
        request(b"X: y\r\n" * (COUNT + 1)),
        request(b"", path=b"/" + b"x" * LIMIT),
    ],
    ids=["long", "many", "count", "path"],
)
async def test_a_head_above_a_limit_is_a_431(port: int, wrong: bytes) -> None:
    answered = await exchange(port, wrong)
    assert answered.startswith(b"HTTP/1.1 431 ")
    assert answered.count(b"HTTP/1.1") == 1
    assert b"limited to 2000 bytes and 20 headers" in answered


async def test_the_second_request_of_a_connection_is_limited_too(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(b"", b"abc"))
    assert (await reader.readuntil(b"3 bytes")).startswith(b"HTTP/1.1 200 ")
    writer.write(request(b"X: " + b"x" * 5000 + b"\r\n"))
    assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
    writer.close()


async def test_an_endless_header_is_not_buffered(port: int) -> None:
    """Megabytes in small pieces: the server closes the connection soon after the limit, and serves other clients."""
    start = b"GET / HTTP/1.1\r\nX-Endless: "
    answered = await exchange(port, start, *[b"x" * 1000] * 20_000)
    assert answered.startswith((b"HTTP/1.1 431 ", b"reset"))
    assert b"0 bytes" in await exchange(port, request(b""))


CHUNKED = b"POST / HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_trailers_are_dropped(port: int) -> None:
    """They come after the headers that a proxy has checked, so they must not count as headers."""
    chunks = b"%x\r\n%s\r\n" % (1500, b"b" * 1500) * 10
    answers = await exchange(port, CHUNKED + chunks + b"0\r\nX-Late: yes\r\n\r\n", CHUNKED + b"0\r\n\r\n")
    assert b"15000 bytes" in answers
    assert answers.count(b"HTTP/1.1 200 ") == 2
    assert b"trailer" not in answers


@pytest.mark.parametrize(
    "pieces",
    [
        [b"0\r\n", *[b"a: b\r\n" * 100] * 2000],
        [b"0\r\nX: ", *[b"a" * 1000] * 2000],
        [b"1\r\nb\r\n", b"1;x=", *[b"a" * 1000] * 2000],
    ],
    ids=["many", "long", "extension"],
)
async def test_what_follows_a_body_is_not_buffered(port: int, pieces: list[bytes]) -> None:
    """The connection ends soon after the limit, without an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(CHUNKED)
    sent = 0
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
            await asyncio.sleep(0.001)
        answered = await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        answered = b""
    finally:
        writer.transport.abort()
    assert sent < 500_000
    assert b"431" not in answered
    assert b"0 bytes" in await exchange(port, request(b""))


async def test_a_request_that_is_not_http_is_still_a_400(port: int) -> None:
    assert (await exchange(port, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        (HttpToolsProtocol.data_received, ["data"]),
        (HttpToolsProtocol.on_message_begin, []),
        (HttpToolsProtocol.on_header, ["name", "value"]),
        (HttpToolsProtocol.on_headers_complete, []),
        (HttpToolsProtocol.on_body, ["body"]),
        (HttpToolsProtocol.send_400_response, ["msg"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_uvicorn_has_the_methods_that_are_overridden(method: Callable[..., Any], parameters: list[str]) -> None:
    assert list(inspect.signature(method).parameters) == ["self", *parameters]


def test_uvicorn_calls_the_overridden_methods_and_has_the_attributes() -> None:
    """The parser calls back on the protocol itself, and an error in a callback ends in `send_400_response`."""
    names = set(HttpToolsProtocol.__init__.__code__.co_names)
    assert {"parser", "transport", "cycle", "headers"} <= names
    assert "url" in HttpToolsProtocol.on_message_begin.__code__.co_names
    assert "send_400_response" in HttpToolsProtocol.data_received.__code__.co_names
    assert "HttpParserError" in HttpToolsProtocol.data_received.__code__.co_names
    assert isinstance(uvicorn.Config("app", http=BoundedHeadProtocol).http, type)
