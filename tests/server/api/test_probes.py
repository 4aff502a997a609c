"""What balancers, charts and routers ask, without an engine."""

from collections.abc import AsyncIterator

import httpx
import pytest
from vllm import __version__ as vllm_version

from tenuto_server.app import build_app
from tenuto_server.config.command_line import parse_command_line
from tenuto_server.middleware.api_keys import KeyRing
from tenuto_server.state import ServerStage, ServerState

KEY = {"X-Api-Key": "key"}
PROBES = ("/readyz", "/health", "/ping")


@pytest.fixture
def state() -> ServerState:
    return ServerState()


@pytest.fixture
async def http(state: ServerState) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, of a server that has one."""
    config, args = parse_command_line(["some/model"])
    transport = httpx.ASGITransport(build_app(args, config, KeyRing(["key"]), state))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        yield client


@pytest.mark.parametrize("path", PROBES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_probes_of_readiness(http: httpx.AsyncClient, state: ServerState, path: str, method: str) -> None:
    for stage, status in ((ServerStage.LOADING, 503), (ServerStage.READY, 200), (ServerStage.DRAINING, 503)):
        state.stage = stage
        response = await http.request(method, path)
        assert response.status_code == status
        assert (response.content == b"") if method == "HEAD" else (response.json() == {"status": stage.value})
    assert (await http.head("/livez")).status_code == 200


async def test_sagemaker_may_post_its_ping(http: httpx.AsyncClient, state: ServerState) -> None:
    state.stage = ServerStage.READY
    assert (await http.post("/ping", content=b"not JSON")).status_code == 200


async def test_the_load_is_the_number_of_requests_in_progress(http: httpx.AsyncClient, state: ServerState) -> None:
    assert (await http.get("/load")).status_code == 401
    state.begin(3)
    assert (await http.get("/load", headers=KEY)).json() == {"server_load": 1}
    state.end(3)
    assert (await http.get("/load", headers=KEY)).json() == {"server_load": 0}


async def test_routers_compare_servers_by_replies_where_none_thinks(
    http: httpx.AsyncClient, state: ServerState
) -> None:
    assert (await http.get("/get_load")).status_code == 401
    assert (await http.get("/get_load", headers=KEY)).json() == {"load": 0}
    state.begin(3)
    assert (await http.get("/get_load", headers=KEY)).json() == {"load": 3}
    state.end(3)


async def test_the_version_is_vllms_with_ours_beside_it(http: httpx.AsyncClient) -> None:
    assert (await http.get("/version")).status_code == 401
    found = (await http.get("/version", headers=KEY)).json()
    assert found["version"] == vllm_version
    assert found["tenuto_version"]


async def test_sagemakers_other_path_is_not_offered(http: httpx.AsyncClient) -> None:
    assert (await http.post("/invocations", headers=KEY, json={})).status_code == 404
