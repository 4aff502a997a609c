"""The gate before the endpoints: who is let in when, and when the last reply has gone out."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tenuto_server.routes import probes
from tenuto_server.service import Gate, Service, Stage


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
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

    app.add_middleware(Gate, service=service)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
        yield http


@pytest.mark.parametrize(
    ("stage", "readiness", "answer"), [(Stage.LOADING, 503, 503), (Stage.READY, 200, 200), (Stage.DRAINING, 503, 503)]
)
async def test_each_stage(
    client: httpx.AsyncClient, service: Service, stage: Stage, readiness: int, answer: int
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
    client: httpx.AsyncClient, service: Service, path: str
) -> None:
    service.stage = Stage.READY
    response = await client.get(path)
    if response.status_code == 200:
        assert set(response.text) == {"1"}
    assert service.running == 0
    assert await service.idle(0)


async def test_waiting_for_the_end_of_what_runs(service: Service) -> None:
    service.begin()
    service.begin()
    assert not await service.idle(0.01)
    waiting = asyncio.create_task(service.idle(60))
    service.end()
    await asyncio.sleep(0)
    assert not waiting.done()
    service.end()
    assert await waiting
