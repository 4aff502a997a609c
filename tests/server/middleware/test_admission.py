"""The gate before the endpoints: who is let in when, and when the last reply has gone out."""

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
def service() -> ServerState:
    return ServerState()


@pytest.fixture
def going_on() -> asyncio.Event:
    """Replies wait for it."""
    event = asyncio.Event()
    event.set()
    return event


@pytest.fixture
async def client(service: ServerState, going_on: asyncio.Event) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.state.service = service
    app.include_router(probes.router)

    @app.get("/v1/count")
    async def count() -> int:
        return service.running

    @app.get("/v1/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            for _ in range(3):
                yield str(service.running)

        return StreamingResponse(pieces())

    @app.get("/v1/fail")
    async def fail() -> None:
        raise RuntimeError

    @app.post(CHAT)
    async def echo(request: Request) -> dict[str, Any]:
        body = await request.body()
        await going_on.wait()
        return {"size": len(body), "sequences": service.sequences}

    app.add_middleware(AdmissionControl, service=service, limits=LIMITS)
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
async def test_each_stage(
    client: httpx.AsyncClient, service: ServerState, stage: ServerStage, readiness: int, answer: int
) -> None:
    service.stage = stage
    assert (await client.get("/livez")).status_code == 200
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()) == (readiness, {"status": stage.value})
    response = await client.get("/v1/count")
    assert response.status_code == answer
    if answer == 503:
        assert response.json()["error"]["type"] == "ServiceUnavailableError"
        assert 0 < int(response.headers["retry-after"]) <= 120


@pytest.mark.parametrize("path", ["/v1/count", "/v1/stream", "/v1/fail"])
async def test_a_request_runs_until_its_last_byte_is_out(
    client: httpx.AsyncClient, service: ServerState, path: str
) -> None:
    service.stage = ServerStage.READY
    response = await client.get(path)
    if response.status_code == 200:
        assert set(response.text) == {"1"}
    assert service.running == 0
    assert await service.idle(0)


async def test_waiting_for_the_end_of_what_runs(service: ServerState) -> None:
    service.begin()
    service.begin()
    assert not await service.idle(0.01)
    waiting = asyncio.create_task(service.idle(60))
    service.end()
    await asyncio.sleep(0)
    assert not waiting.done()
    service.end()
    assert await waiting


async def test_a_body_above_the_limit_is_a_413_before_it_is_read(
    client: httpx.AsyncClient, service: ServerState
) -> None:
    service.stage = ServerStage.READY

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
        assert "larger than 1000 bytes, the most that this server takes (--max-body-bytes)" in response.text
        assert response.headers["connection"] == "close"
    assert sum(sent) < 2000
    assert service.running == service.sequences == 0


@pytest.mark.parametrize("body", ["[" * 200_000, "[" * 200_000 + "]" * 200_000, '{"a":' * 100 + "1" + "}" * 100])
async def test_no_nesting_brings_the_server_down(service: ServerState, body: str) -> None:
    service.stage = ServerStage.READY
    app = FastAPI()
    app.add_middleware(AdmissionControl, service=service, limits=Limits(body_bytes=10**6))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as http:
        response = await http.post(CHAT, content=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "body"


async def test_what_is_no_json_is_left_to_the_endpoint(client: httpx.AsyncClient, service: ServerState) -> None:
    service.stage = ServerStage.READY
    for body in (b"", b"{", b"\xff\xfe", b"9" * 900):
        assert (await client.post(CHAT, content=body)).json()["size"] == len(body)


async def test_limits_are_checked_at_the_gate(client: httpx.AsyncClient, service: ServerState) -> None:
    service.stage = ServerStage.READY
    error = (await client.post(CHAT, json={"n": 9})).json()["error"]
    assert (error["code"], error["param"], error["type"]) == (400, "n", "BadRequestError")
    said = (await client.post("/v1/messages", json={"n": 9})).json()
    assert (said["type"], said["error"]["type"]) == ("error", "invalid_request_error")


async def test_the_queue_is_exact_whatever_comes_at_once(
    client: httpx.AsyncClient, service: ServerState, going_on: asyncio.Event
) -> None:
    """Fifty requests with n replies each: so many are taken as fit, to the last place, and then all places are free."""
    service.stage, service.capacity = ServerStage.READY, 10
    going_on.clear()
    asked = [1 + place % 4 for place in range(50)]
    requests = [asyncio.create_task(client.post(CHAT, json={"n": n})) for n in asked]
    while sum(request.done() for request in requests) + service.running < len(asked):  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert service.sequences == 10
    going_on.set()
    responses = await asyncio.gather(*requests)
    assert sum(n for n, response in zip(asked, responses, strict=True) if response.status_code == 200) == 10
    refused = [response for response in responses if response.status_code != 200]
    assert {response.status_code for response in refused} == {503}
    assert all(0 < int(response.headers["retry-after"]) <= 120 for response in refused)
    assert "running and waiting already" in refused[0].text
    assert service.running == service.sequences == 0


async def test_a_dead_engine_is_known_at_once(client: httpx.AsyncClient, service: ServerState) -> None:
    service.stage = ServerStage.READY
    service.watch(lambda: dead)
    dead = False
    assert (await client.get("/readyz")).status_code == 200
    dead = True
    assert (await client.get("/readyz")).json() == {"status": "failed"}
    assert "the engine has died" in (await client.get("/v1/count")).text


async def test_more_than_ever_fits_is_no_matter_of_waiting(service: ServerState) -> None:
    service.stage, service.capacity, service.sequences = ServerStage.READY, 3, 3
    with pytest.raises(InvalidRequest, match="4 sequences are more than the 3 taken at once"):
        service.admit(4)
    with pytest.raises(Unavailable):
        service.admit(1)
    service.admit(0)
    service.capacity = None
    service.admit(10**6)


async def test_running_replies_take_orders_to_the_end(client: httpx.AsyncClient, service: ServerState) -> None:
    service.stage = ServerStage.DRAINING
    assert (
        await client.post("/v1/requests/chatcmpl-a/thinking", json={})
    ).status_code == 404  # let in: nothing is there
    assert (await client.post(CHAT, json={})).status_code == 503
    service.stage = ServerStage.LOADING
    assert (await client.post("/v1/requests/chatcmpl-a/thinking", json={})).status_code == 503


async def never(*_: object) -> None:
    raise AssertionError


async def call(gate: AdmissionControl, messages: list[dict[str, Any]], path: str = CHAT) -> list[Any]:
    """What a gate sends to a client that says these things and then nothing more."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await gate({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
    return sent


def piece(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_client_that_goes_before_its_body_has_come_takes_no_place(service: ServerState) -> None:
    service.stage = ServerStage.READY
    gate = AdmissionControl(never, service, LIMITS)
    assert await call(gate, [piece(b"{", more=True), {"type": "http.disconnect"}]) == []
    assert service.running == service.sequences == 0


async def test_a_body_that_takes_too_long_is_a_408(service: ServerState) -> None:
    """Whoever sends all but the last byte and waits would be kept for ever."""
    service.stage = ServerStage.READY
    sent = await call(AdmissionControl(never, service, Limits(body_seconds=0.05)), [piece(b"{", more=True)])
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert (
        json.loads(sent[1]["body"])["error"]["message"] == "the body did not come within 0.05 seconds (--body-timeout)"
    )
    assert service.running == service.sequences == 0


async def test_all_bodies_together_may_hold_so_much_before_their_ends_have_come(service: ServerState) -> None:
    """What is above it is refused with a 503, and what was held is free again when its senders have gone."""
    service.stage = ServerStage.READY
    limits = Limits(body_bytes=1000)
    gate, waiting = AdmissionControl(never, service, limits), limits.incoming_bytes // 999
    held = [asyncio.create_task(call(gate, [piece(b"x" * 999, more=True)])) for _ in range(waiting)]
    await asyncio.sleep(0)
    sent = await asyncio.wait_for(call(gate, [piece(b"x" * 999, more=True)]), 10)
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"5") in sent[0]["headers"]
    assert not any(task.done() for task in held)
    for task in held:
        task.cancel()
    await asyncio.wait(held)
    assert await call(gate, [piece(b"x" * 999, more=True), {"type": "http.disconnect"}]) == []


async def test_tokenizing_takes_a_place_and_is_no_sequence(service: ServerState) -> None:
    async def endpoint(*_: object) -> None:
        seen.append(service.sequences)

    seen: list[int] = []
    service.stage, service.capacity = ServerStage.READY, 1
    gate = AdmissionControl(endpoint, service, LIMITS)
    assert await call(gate, [piece(b"{}", more=False)], path="/tokenize") == []
    service.begin(1)
    assert (await call(gate, [piece(b"{}", more=False)], path="/tokenize"))[0]["status"] == 503
    assert seen == [1]


async def test_the_place_is_free_again_when_the_endpoint_is_cancelled(service: ServerState) -> None:
    async def forever(*_: object) -> None:
        assert service.sequences == 3
        started.set()
        await asyncio.Event().wait()

    started = asyncio.Event()
    service.stage = ServerStage.READY
    task = asyncio.create_task(
        call(AdmissionControl(forever, service, LIMITS), [piece(json.dumps({"n": 3}).encode(), more=False)])
    )
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert service.running == service.sequences == 0


async def test_a_body_that_comes_while_the_server_begins_to_shut_down_is_refused(service: ServerState) -> None:
    service.stage = ServerStage.READY
    first = piece(b"{", more=True)

    class Messages(list[dict[str, Any]]):
        def pop(self, place: Any = 0) -> dict[str, Any]:
            service.stage = ServerStage.DRAINING
            return super().pop(place)

    sent = await call(AdmissionControl(never, service, LIMITS), Messages([first, piece(b"}", more=False)]))
    assert sent[0]["status"] == 503
