"""The playground's page and files: who may load them, with which headers, and what else they may load."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from tenuto_server.app import build_app
from tenuto_server.config.command_line import parse_command_line
from tenuto_server.middleware.api_keys import KeyRing
from tenuto_server.playground.static_files import STATIC, file_paths, static_files
from tenuto_server.state import ServerStage, ServerState

KEY = "a-key"
OWN = [path for path in sorted(STATIC.rglob("*")) if path.is_file() and "vendor" not in path.parts]


def client(*flags: str, stage: ServerStage = ServerStage.LOADING) -> httpx.AsyncClient:
    """A client of a server with an API key, whose model is still loading."""
    config, args = parse_command_line(["some/model", *flags])
    state = ServerState()
    state.stage = stage
    app = build_app(args, config, KeyRing([KEY]), state)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with client() as http:
        yield http


async def test_the_page_and_its_files_load_without_a_key(http: httpx.AsyncClient) -> None:
    for path in ("/", *sorted(file_paths())):
        assert (await http.get(path)).status_code == 200, path
        assert (await http.head(path)).status_code == 200, path


@pytest.mark.parametrize(
    "path",
    ["/playground/settings", "/playground/nothing.js", "/playground/", "/playground", "/playground/../v1/models"],
)
async def test_everything_else_requires_a_key(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 401


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "../static_files.py", "..%2fstatic_files.py", "vendor/LICENSE.htm", "vendor/marked.d.ts", "%00"],
)
async def test_only_the_pages_files_are_served(http: httpx.AsyncClient, name: str) -> None:
    response = await http.get(f"/playground/{name}", headers={"X-Api-Key": KEY})
    assert response.status_code == 404


async def test_the_settings_wait_for_the_model(http: httpx.AsyncClient) -> None:
    response = await http.get("/playground/settings", headers={"X-Api-Key": KEY})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")


async def test_every_response_forbids_what_comes_from_elsewhere(http: httpx.AsyncClient) -> None:
    for path in ("/", "/playground/main.js"):
        headers = (await http.get(path)).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy.pop("default-src") == "'none'"
        own = {name for name, value in policy.items() if value == "'self'"}
        assert own == {"script-src", "style-src", "img-src", "connect-src", "font-src"}
        assert {policy[name] for name in policy.keys() - own} == {"'none'"}
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_a_file_that_the_browser_has_is_not_sent_again(http: httpx.AsyncClient) -> None:
    first = await http.get("/playground/style.css")
    again = await http.get("/playground/style.css", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Content-Security-Policy"] == first.headers["Content-Security-Policy"]


async def test_the_playground_can_be_turned_off() -> None:
    async with client("--no-playground", stage=ServerStage.READY) as http:
        with_key = {"X-Api-Key": KEY}
        for path in ("/", "/playground/main.js", "/playground/settings"):
            assert (await http.get(path, headers=with_key)).status_code == 404
        assert (await http.get("/playground/main.js")).status_code == 401


def test_the_page_works_below_a_path_that_a_proxy_adds() -> None:
    page = (STATIC / "index.html").read_text()
    assert re.findall(r'(?:src|href)="(/[^"]*)"', page) == []


@pytest.mark.parametrize(
    "forbidden",
    [
        r"https?://(?!www\.w3\.org)",
        r"\beval\(",
        r"new Function\(",
        r"<script(?![^>]*\bsrc=)",
        r"<\w+ style=\"",
        r"\son[a-z]+=\"",
    ],
)
def test_no_file_of_ours_has_what_the_policy_forbids(forbidden: str) -> None:
    found = [path.name for path in OWN if re.search(forbidden, path.read_text())]
    assert found == []


def test_every_module_that_is_imported_is_served() -> None:
    files = static_files()
    for name, file in files.items():
        if not name.endswith(".js") or name.startswith("vendor/"):
            continue
        for target in re.findall(r'(?:from |import\()"(\.[^"]+)"', file.content.decode()):
            parts = [*name.split("/")[:-1], *target.split("/")]
            assert resolve(parts) in files, f"{name} imports {target}"


def resolve(parts: list[str]) -> str:
    path: list[str] = []
    for part in parts:
        if part == "..":
            path.pop()
        elif part != ".":
            path.append(part)
    return "/".join(path)


def test_every_file_of_ours_is_used() -> None:
    texts = "".join(path.read_text() for path in OWN)
    names = [path.name for path in OWN if path.name not in ("index.html", "package.json")]
    assert [name for name in names if name not in texts] == []
