"""Whose key reaches a server behind vllm-router. It has no engine: a wrong budget is an error if the key is valid."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from tenuto_evaluation.launch import HOST, free_port
from tenuto_server.app import build_app
from tenuto_server.config.command_line import parse_command_line
from tenuto_server.middleware.api_keys import KeyRing
from tenuto_server.state import ServerStage, ServerState
from tenuto_testing.router import routing
from tenuto_testing.servers import NO_TLS

KEY = "secret"
#: A body that a server refuses once the key is valid.
WRONG = {"model": "m", "messages": [], "prompt": "?", "max_tokens": 5, "max_thinking_tokens": -2}
PASSING, OTHERS = ("/v1/chat/completions", "/v1/completions"), ("/v1/messages", "/v1/responses")
UNAUTHORIZED, WRONG_BUDGET = 401, 400


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server that requires a key."""
    config, args = parse_command_line(["some/model"])
    state = ServerState()
    state.stage = ServerStage.READY
    app = build_app(args, config, KeyRing([KEY]), state)
    port = free_port()
    running = uvicorn.Server(uvicorn.Config(app, host=HOST, port=port, log_level="critical"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://{HOST}:{port}"
    running.should_exit = True
    thread.join()


@contextmanager
def routed(server: str, folder: Path, *options: str) -> Iterator[httpx.Client]:
    """A client of a router in front of two, which are the same server under two names."""
    with (
        routing(folder / "log", server, server.replace(HOST, "localhost"), options=options) as router,
        httpx.Client(base_url=router.url, timeout=30, verify=NO_TLS) as client,
    ):
        yield client


def statuses(client: httpx.Client, paths: tuple[str, ...], headers: dict[str, str]) -> set[int]:
    return {client.post(path, json=WRONG, headers=headers).status_code for path in paths}


def test_a_clients_key_passes_with_chats_and_completions_only(server: str, tmp_path: Path) -> None:
    with routed(server, tmp_path) as client:
        for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-Api-Key": KEY}):
            assert statuses(client, PASSING, headers) == {WRONG_BUDGET}
            assert statuses(client, OTHERS, headers) == {UNAUTHORIZED}
        assert statuses(client, PASSING, {}) == {UNAUTHORIZED}


def test_the_routers_key_opens_the_other_endpoints_to_everyone(server: str, tmp_path: Path) -> None:
    with routed(server, tmp_path, "--api-key", KEY) as client:
        assert statuses(client, OTHERS, {}) == {WRONG_BUDGET}
        assert statuses(client, PASSING, {}) == {UNAUTHORIZED}
        assert client.get("/version").status_code == 200


def test_a_load_is_asked_without_a_key(server: str, tmp_path: Path) -> None:
    """So `--public-metrics` is needed for the policy that compares servers."""
    with routed(server, tmp_path, "--policy", "power_of_two", "--api-key", KEY) as client:
        assert {worker["load"] for worker in client.get("/get_loads").json()["workers"]} == {-1}
