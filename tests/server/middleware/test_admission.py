"""Admission control: which requests are accepted in each stage, and when a request's slots are free again."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from tenuto_server.api.routes import probes
from tenuto_server.config.limits import Limits
from tenuto_server.errors import InvalidRequest, Unavailable
from tenuto_server.middleware.admission import AdmissionControl
from tenuto_server.state import ServerStage, ServerState

LIMITS = Limits(body_bytes=1000, n=8)
CHAT = "/v1/chat/completions"


@pytest.fixture
def state() -> ServerState:
    return ServerState()


@pytest.fixture
def go_on() -> asyncio.Event:
    """Replies wait for it."""
    event = asyncio.Event()
    event.set()
    return event


@pytest.fixture
async def client(state: ServerState, go_on: asyncio.Event) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.state.service = state
    app.include_router(probes.router)

    @app.get("/v1/count")
    async def count() -> int:
        return state.running

    @app.get("/v1/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            for _ in range(3):
                yield str(state.running)

        return StreamingResponse(pieces())

    @app.get("/v1/fail")
    async def fail() -> None:
        raise RuntimeError

    @app.post(CHAT)
    async def echo(request: Request) -> dict[str, Any]:
        body = await request.body()
        await go_on.wait()
        return {"size": len(body), "sequences": state.sequences}

    app.add_middleware(AdmissionControl, state=state, limits=LIMITS)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
        yield http


@pytest.mark.parametrize(
    ("stage", "readiness", "answer"),
    [
        (ServerStage.LOADING, 503, 503),
        (ServerStage.READY, 200, 200),
        (ServerStage.DRAINING, 503, 503),
        (ServerStage.FAILED, 503, 503),
    ],
)
async def test_each_stage_of_the_server(
    client: httpx.AsyncClient, state: ServerState, stage: ServerStage, readiness: int, answer: int
) -> None:
    state.stage = stage
    assert (await client.get("/livez")).status_code == 200
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()) == (readiness, {"status": stage.value})
    response = await client.get("/v1/count")
    assert response.status_code == answer
    if answer == 503:
        assert response.json()["error"]["type"] == "ServiceUnavailableError"
        assert 0 < int(response.headers["retry-after"]) <= 120


@pytest.mark.parametrize("path", ["/v1/count", "/v1/stream", "/v1/fail"])
async def test_a_request_counts_as_running_until_its_last_byte_is_sent(
    client: httpx.AsyncClient, state: ServerState, path: str
) -> None:
    state.stage = ServerStage.READY
    response = await client.get(path)
    if response.status_code == 200:
        assert set(response.text) == {"1"}
    assert state.running == 0
    assert await state.idle(0)


async def test_idle_waits_for_running_requests(state: ServerState) -> None:
    state.begin()
    state.begin()
    assert not await state.idle(0.01)
    waiting = asyncio.create_task(state.idle(60))
    state.end()
    await asyncio.sleep(0)
    assert not waiting.done()
    state.end()
    assert await waiting


async def test_a_body_above_the_limit_is_a_413_before_it_is_read(client: httpx.AsyncClient, state: ServerState) -> None:
    state.stage = ServerStage.READY

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 100):
            yield b"x" * 100
            sent.append(100)

    sent: list[int] = []
    assert (await client.post(CHAT, content=b"x" * 1000)).json()["size"] == 1000
    assert (await client.post(CHAT, content=pieces(1000))).json()["size"] == 1000
    sent.clear()
    for content in (b"x" * 1001, pieces(100_000)):
        response = await client.post(CHAT, content=content)
        assert response.status_code == response.json()["error"]["code"] == 413
        assert "larger than 1000 bytes, the most that this server allows (--max-body-bytes)" in response.text
        assert response.headers["connection"] == "close"
    assert sum(sent) < 2000
    assert state.running == state.sequences == 0


@pytest.mark.parametrize("body", ["[" * 200_000, "[" * 200_000 + "]" * 200_000, '{"a":' * 100 + "1" + "}" * 100])
async def test_deep_nesting_is_a_400(state: ServerState, body: str) -> None:
    state.stage = ServerStage.READY
    app = FastAPI()
    app.add_middleware(AdmissionControl, state=state, limits=Limits(body_bytes=10**6))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as http:
        response = await http.post(CHAT, content=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "body"


async def test_a_body_that_is_not_json_is_left_to_the_endpoint(client: httpx.AsyncClient, state: ServerState) -> None:
    state.stage = ServerStage.READY
    for body in (b"", b"{", b"\xff\xfe", b"9" * 900):
        assert (await client.post(CHAT, content=body)).json()["size"] == len(body)


async def test_limits_are_checked_before_the_endpoint(client: httpx.AsyncClient, state: ServerState) -> None:
    state.stage = ServerStage.READY
    error = (await client.post(CHAT, json={"n": 9})).json()["error"]
    assert (error["code"], error["param"], error["type"]) == (400, "n", "BadRequestError")
    said = (await client.post("/v1/messages", json={"n": 9})).json()
    assert (said["type"], said["error"]["type"]) == ("error", "invalid_request_error")


async def test_slots_are_exact_when_requests_arrive_at_once(
    client: httpx.AsyncClient, state: ServerState, go_on: asyncio.Event
) -> None:
    """Fifty requests with n replies each: accepted until the last slot is taken, and then all slots are free again."""
    state.stage, state.capacity = ServerStage.READY, 10
    go_on.clear()
    counts = [1 + index % 4 for index in range(50)]
    requests = [asyncio.create_task(client.post(CHAT, json={"n": n})) for n in counts]
    while sum(request.done() for request in requests) + state.running < len(counts):  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert state.sequences == 10
    go_on.set()
    responses = await asyncio.gather(*requests)
    assert sum(n for n, response in zip(counts, responses, strict=True) if response.status_code == 200) == 10
    refused = [response for response in responses if response.status_code != 200]
    assert {response.status_code for response in refused} == {503}
    assert all(0 < int(response.headers["retry-after"]) <= 120 for response in refused)
    assert "already running or waiting" in refused[0].text
    assert state.running == state.sequences == 0


async def test_a_dead_engine_is_reported_at_once(client: httpx.AsyncClient, state: ServerState) -> None:
    state.stage = ServerStage.READY
    state.watch(lambda: dead)
    dead = False
    assert (await client.get("/readyz")).status_code == 200
    dead = True
    assert (await client.get("/readyz")).json() == {"status": "failed"}
    assert "the engine has died" in (await client.get("/v1/count")).text


async def test_a_request_for_more_slots_than_there_are_is_invalid(state: ServerState) -> None:
    state.stage, state.capacity, state.sequences = ServerStage.READY, 3, 3
    with pytest.raises(InvalidRequest, match="4 sequences are more than the 3 accepted at once"):
        state.admit(4)
    with pytest.raises(Unavailable):
        state.admit(1)
    state.admit(0)
    state.capacity = None
    state.admit(10**6)


async def test_steering_requests_are_accepted_while_the_server_drains(
    client: httpx.AsyncClient, state: ServerState
) -> None:
    state.stage = ServerStage.DRAINING
    assert (
        await client.post("/v1/requests/chatcmpl-a/thinking", json={})
    ).status_code == 404  # accepted, but there is no such route here
    assert (await client.post(CHAT, json={})).status_code == 503
    state.stage = ServerStage.LOADING
    assert (await client.post("/v1/requests/chatcmpl-a/thinking", json={})).status_code == 503


async def never(*_: object) -> None:
    raise AssertionError


async def call(admission: AdmissionControl, messages: list[dict[str, Any]], path: str = CHAT) -> list[Any]:
    """What the middleware sends to a client that sends these messages and then nothing more."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await admission({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
    return sent


def piece(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_client_that_disconnects_during_its_body_takes_no_slot(state: ServerState) -> None:
    state.stage = ServerStage.READY
    admission = AdmissionControl(never, state, LIMITS)
    assert await call(admission, [piece(b"{", more=True), {"type": "http.disconnect"}]) == []
    assert state.running == state.sequences == 0


async def test_a_body_that_takes_too_long_is_a_408(state: ServerState) -> None:
    """Otherwise a client that never sends the last byte would be kept for ever."""
    state.stage = ServerStage.READY
    sent = await call(AdmissionControl(never, state, Limits(body_seconds=0.05)), [piece(b"{", more=True)])
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert (
        json.loads(sent[1]["body"])["error"]["message"]
        == "the body did not arrive within 0.05 seconds (--body-timeout)"
    )
    assert state.running == state.sequences == 0


async def test_incomplete_bodies_together_are_limited(state: ServerState) -> None:
    """Above the limit, a body is a 503; the memory is free again when the clients have disconnected."""
    state.stage = ServerStage.READY
    limits = Limits(body_bytes=1000)
    admission, waiting = AdmissionControl(never, state, limits), limits.incoming_bytes // 999
    held = [asyncio.create_task(call(admission, [piece(b"x" * 999, more=True)])) for _ in range(waiting)]
    await asyncio.sleep(0)
    sent = await asyncio.wait_for(call(admission, [piece(b"x" * 999, more=True)]), 10)
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"5") in sent[0]["headers"]
    assert not any(task.done() for task in held)
    for task in held:
        task.cancel()
    await asyncio.wait(held)
    assert await call(admission, [piece(b"x" * 999, more=True), {"type": "http.disconnect"}]) == []


async def test_tokenizing_takes_a_slot(state: ServerState) -> None:
    async def endpoint(*_: object) -> None:
        seen.append(state.sequences)

    seen: list[int] = []
    state.stage, state.capacity = ServerStage.READY, 1
    admission = AdmissionControl(endpoint, state, LIMITS)
    assert await call(admission, [piece(b"{}", more=False)], path="/tokenize") == []
    state.begin(1)
    assert (await call(admission, [piece(b"{}", more=False)], path="/tokenize"))[0]["status"] == 503
    assert seen == [1]


async def test_slots_are_free_again_when_the_endpoint_is_cancelled(state: ServerState) -> None:
    async def forever(*_: object) -> None:
        assert state.sequences == 3
        started.set()
        await asyncio.Event().wait()

    started = asyncio.Event()
    state.stage = ServerStage.READY
    task = asyncio.create_task(
        call(AdmissionControl(forever, state, LIMITS), [piece(json.dumps({"n": 3}).encode(), more=False)])
    )
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert state.running == state.sequences == 0


async def test_a_body_that_is_complete_after_the_drain_began_is_refused(state: ServerState) -> None:
    state.stage = ServerStage.READY
    first = piece(b"{", more=True)

    class Messages(list[dict[str, Any]]):
        def pop(self, index: Any = 0) -> dict[str, Any]:
            state.stage = ServerStage.DRAINING
            return super().pop(index)

    sent = await call(AdmissionControl(never, state, LIMITS), Messages([first, piece(b"}", more=False)]))
    assert sent[0]["status"] == 503
