"""API keys: where they come from, which requests need one, and attempts to get around them."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from tenuto_server.errors import StartupError
from tenuto_server.middleware.api_keys import ApiKeys, KeyRing, read_keys

KEYS = ("first-key", "second-key")
ORIGIN = "https://example.org"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Every path answers 200 with the method, to requests with one of two keys; with CORS."""
    app = FastAPI(root_path="/api")

    @app.api_route("/{path:path}", methods=["GET", "POST", "OPTIONS", "HEAD"])
    async def answer(path: str) -> str:
        return path

    app.add_middleware(ApiKeys, ring=KeyRing(KEYS), public=frozenset({"/livez", "/readyz", "/metrics"}))
    app.add_middleware(CORSMiddleware, allow_origins=[ORIGIN], allow_methods=["*"], allow_headers=["*"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as http:
        yield http


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "header",
    [lambda key: ("Authorization", f"bearer {key}"), lambda key: ("X-Api-Key", key)],
    ids=["openai", "anthropic"],
)
async def test_each_key_is_valid_in_the_header_of_either_api(
    client: httpx.AsyncClient, key: str, header: Callable[[str], tuple[str, str]]
) -> None:
    name, value = header(key)
    assert (await client.get("/v1/models", headers={name: value})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer first-ke"},
        {"Authorization": "Bearer first-key2"},
        {"Authorization": "Bearer first-key, second-key"},
        {"Authorization": "Basic first-key"},
        {"Authorization": "first-key"},
        {"X-Api-Key": "FIRST-KEY"},
        {"X-Api-Key": ""},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Cookie": "first-key"},
    ],
    ids=str,
)
async def test_a_request_without_a_valid_key_is_a_401(client: httpx.AsyncClient, headers: dict[str, Any]) -> None:
    response = await client.post("/v1/chat/completions", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("AuthenticationError", 401)


async def test_anthropics_clients_get_errors_of_their_own_shape(client: httpx.AsyncClient) -> None:
    for path in ("/v1/messages", "/v1/messages/count_tokens", "/api/v1/messages"):
        body = (await client.post(path)).json()
        assert (body["type"], body["error"]["type"]) == ("error", "authentication_error")
    assert "type" not in (await client.post("/v1/messages2")).json()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/models",
        "/v2/anything",
        "/tokenize",
        "/docs",
        "/openapi.json",
        "/nowhere",
        "/livez/",
        "/livez/../v1/models",
        "/%6civez/x",
        "//livez",
        "/LIVEZ",
        "/metrics/x",
        "/v1/models?path=/livez",
        "/v1/models#/livez",
        "/v1/models;/livez",
        "/apilivez",
    ],
)
async def test_every_path_that_is_not_public_requires_a_key(client: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "POST", "HEAD", "OPTIONS"):
        assert (await client.request(method, path)).status_code == 401


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/api/livez"])
async def test_public_paths_require_no_key(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("host", ["localhost/livez?", "server/livez", "server#/livez", "livez", ""])
async def test_the_host_header_does_not_matter(client: httpx.AsyncClient, host: str) -> None:
    """CVE-2026-48710: a URL put together from Host and path can end in a path that was not requested."""
    assert (await client.get("/v1/models", headers={"Host": host})).status_code == 401


async def test_a_browsers_preflight_needs_no_key_and_can_read_the_401(client: httpx.AsyncClient) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    assert (await client.options("/v1/messages", headers=headers)).status_code == 200
    refused = await client.post("/v1/messages", headers={"Origin": ORIGIN})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)
    assert (await client.options("/v1/messages", headers=headers | {"Origin": "https://other"})).status_code == 400


@pytest.mark.parametrize("keys", [(), KEYS])
async def test_websockets_are_closed_before_they_are_accepted(keys: tuple[str, ...]) -> None:
    async def never(*_: object) -> Any:
        raise AssertionError

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/livez", "headers": [(b"x-api-key", KEYS[0].encode())]}
    await ApiKeys(never, KeyRing(keys))(scope, never, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_without_keys_every_request_passes() -> None:
    app = FastAPI()
    app.add_middleware(ApiKeys, ring=KeyRing(()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as http:
        assert (await http.get("/openapi.json")).status_code == 200


def test_keys_come_from_the_command_line_a_file_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# the team's\n  c \n\nd\n")
    ring = read_keys(["a", "b"], str(file), {"VLLM_API_KEY": "e", "TENUTO_API_KEYS": "f, g,"})
    assert len(ring) == 7
    assert all(ring.accepts([key]) for key in (b"a", b"b", b"c", b"d", b"e", b"f", b"g"))
    assert ring.accepts([b"wrong", b"g"])
    assert not any(ring.accepts([key]) for key in (b"", b"h", b"# the team's", b"f, g", b"a\n"))
    assert not ring.accepts([])


def test_a_ring_does_not_store_the_keys() -> None:
    assert "first-key" not in repr(vars(KeyRing(KEYS)))


def test_without_any_key_the_ring_is_empty() -> None:
    assert not read_keys([], None, {"PATH": "/bin"})


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("VLLM_API_KEY", "", "holds no key"),
        ("VLLM_API_KEY", " ", "holds no key"),
        ("TENUTO_API_KEYS", " , ", "holds no key"),
        ("VLLM_API_KEY", "a b", "a key is empty or contains white space"),
        ("TENUTO_API_KEYS", "good,not good", "a key is empty or contains white space"),
    ],
)
def test_a_variable_without_a_key_does_not_leave_the_server_open(variable: str, value: str, message: str) -> None:
    """Such as `VLLM_API_KEY="$KEY"` where KEY is not set, whatever other keys there are."""
    with pytest.raises(StartupError, match=message) as refusal:
        read_keys(["other"], None, {variable: value})
    assert variable in str(refusal.value)
    assert "not good" not in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "lines", "message"),
    [
        ([""], None, "--api-key: a key is empty"),
        (["a b"], None, "--api-key: a key is empty or contains white space"),
        ([], "# nothing\n\n", "holds no key"),
        ([], "good\nnot good\n", "contains white space"),
    ],
)
def test_a_key_that_no_client_can_send_is_an_error(
    tmp_path: Path, given: list[str], lines: str | None, message: str
) -> None:
    """Above all, an empty file does not leave the server open."""
    file = tmp_path / "keys"
    file.write_text(lines or "")
    with pytest.raises(StartupError) as refusal:
        read_keys(given, str(file) if lines is not None else None, {})
    assert message in str(refusal.value)
    assert "not good" not in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"--api-key-file: .*nowhere cannot be read"):
        read_keys([], str(tmp_path / "nowhere"), {})
