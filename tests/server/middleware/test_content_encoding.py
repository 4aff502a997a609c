"""Compressed bodies: decoded within the limit for bodies, or refused by name."""

import gzip
import json
import time
import tracemalloc
import zlib
from typing import Any

import httpx
import pytest
import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tenuto_server.config.limits import Limits
from tenuto_server.errors import InvalidRequest, TooLarge
from tenuto_server.middleware.admission import AdmissionControl
from tenuto_server.middleware.content_encoding import decode
from tenuto_server.paths import CHAT
from tenuto_server.state import ServerStage, ServerState

LIMIT = 100_000
BODY = json.dumps({"messages": [{"role": "user", "content": "soup " * 1000}]}).encode()


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


COMPRESSED = {
    "gzip": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY),
    "GZip": gzip.compress(BODY[:100]) + gzip.compress(BODY[100:]),
    "deflate": zlib.compress(BODY),
    "deflate, identity": raw_deflate(BODY),
    "zstd": zstandard.compress(BODY),
    "identity": BODY,
    "": BODY,
}
BOMBS = {
    "gzip": gzip.compress(bytes(300 * LIMIT)),
    "deflate": zlib.compress(bytes(300 * LIMIT)),
    "zstd": zstandard.compress(bytes(300 * LIMIT)),
}


async def echo(request: Request) -> JSONResponse:
    body = await request.body()
    names = ("content-encoding", "content-length")
    return JSONResponse({"body": body.decode(), **{name: request.headers.get(name) for name in names}})


async def post(content: bytes, *encodings: str) -> httpx.Response:
    app = Starlette(routes=[Route(CHAT, echo, methods=["POST"])])
    state = ServerState()
    state.stage = ServerStage.READY
    transport = httpx.ASGITransport(AdmissionControl(app, state, Limits(body_bytes=LIMIT)))
    headers = [("content-encoding", encoding) for encoding in encodings]
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
        return await http.post(CHAT, content=content, headers=headers)


@pytest.mark.parametrize("encoding", COMPRESSED)
async def test_a_compressed_body_reaches_the_endpoint_as_if_it_were_not(encoding: str) -> None:
    found = (await post(COMPRESSED[encoding], encoding)).json()
    assert found["body"] == BODY.decode()
    if encoding not in ("", "identity"):
        assert (found["content-encoding"], found["content-length"]) == (None, str(len(BODY)))


@pytest.mark.parametrize("encodings", [("br",), ("gzip", "zstd"), ("gzip, gzip",), ("x" * 1000,)], ids=str)
async def test_an_encoding_that_is_not_supported_is_named(encodings: tuple[str, ...]) -> None:
    response = await post(BODY, *encodings)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (415, 415, "Content-Encoding")
    assert "gzip, deflate, zstd" in error["message"]
    assert response.headers["accept-encoding"] == "gzip, deflate, zstd"
    assert len(error["message"]) < 300


@pytest.mark.parametrize("encoding", BOMBS)
async def test_a_body_that_grows_beyond_the_limit_is_a_413(encoding: str) -> None:
    assert len(BOMBS[encoding]) < LIMIT
    assert (await post(BOMBS[encoding], encoding)).status_code == 413


@pytest.mark.parametrize("encoding", BOMBS)
def test_decoding_takes_no_more_memory_than_the_limit_allows(encoding: str) -> None:
    tracemalloc.start()
    begun = time.process_time()
    with pytest.raises(TooLarge):
        decode(BOMBS[encoding], encoding, LIMIT)
    seconds, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * LIMIT
    assert seconds < 1


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1])
@pytest.mark.parametrize("encoding", BOMBS)
def test_the_limit_is_exact(encoding: str, size: int) -> None:
    compress: dict[str, Any] = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}
    body = compress[encoding](bytes(size))
    if size > LIMIT:
        with pytest.raises(TooLarge):
            decode(body, encoding, LIMIT)
    else:
        assert len(decode(body, encoding, LIMIT)) == size


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("body", [BODY, b"", b"{}"], ids=["plain", "empty", "short"])
async def test_a_body_that_is_not_what_its_header_says_is_a_400(encoding: str, body: bytes) -> None:
    if encoding == "zstd" and not body:
        return  # no frame is a valid sequence of frames
    response = await post(body, encoding)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "body")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_an_incomplete_body_is_named(encoding: str) -> None:
    with pytest.raises(InvalidRequest, match="incomplete"):
        decode(COMPRESSED[encoding][:-20], encoding, LIMIT)


def test_a_body_of_very_many_empty_members_is_refused_after_a_few() -> None:
    """Each is 20 bytes, and what follows one is copied: without a bound, 4 MiB of them take 13 s."""
    few, many = gzip.compress(b"") * 64, gzip.compress(b"") * 200_000
    assert decode(few, "gzip", LIMIT) == b""
    with pytest.raises(InvalidRequest, match="more than 64 members"):
        decode(many, "gzip", LIMIT)
