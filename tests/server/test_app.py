"""The application as it is put together, without an engine."""

from typing import Any

import httpx
import pytest

from tenuto_server.app import build_app
from tenuto_server.config.command_line import parse_command_line
from tenuto_server.middleware.api_keys import KeyRing
from tenuto_server.state import ServerState


@pytest.fixture(scope="module")
def app() -> httpx.ASGITransport:
    config, args = parse_command_line(["some/model"])
    return httpx.ASGITransport(build_app(args, config, KeyRing(()), ServerState()))


async def test_no_redirect_is_made_from_the_host_header(app: httpx.ASGITransport) -> None:
    """A path with one slash too many is a 404, not a redirect to a host that the client names."""
    async with httpx.AsyncClient(transport=app, base_url="http://elsewhere.example") as http:
        assert (await http.get("/livez")).status_code == 200
        response = await http.get("/livez/")
    assert (response.status_code, response.headers.get("location")) == (404, None)


async def test_every_endpoint_documents_the_error_for_a_slow_body(app: httpx.ASGITransport) -> None:
    async with httpx.AsyncClient(transport=app, base_url="http://server") as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    posts = {path: methods["post"]["responses"] for path, methods in paths.items() if "post" in methods}
    assert len(posts) > 8
    assert [path for path, responses in posts.items() if "408" not in responses] == []


class Layer:
    """A middleware that an operator adds with `--middleware`."""


@pytest.mark.parametrize(("flags", "present"), [([], False), (["--middleware", f"{__name__}.Layer"], True)])
def test_middleware_named_on_the_command_line_is_added(flags: list[str], present: bool) -> None:
    config, args = parse_command_line(["some/model", *flags])
    layers: list[Any] = [layer.cls for layer in build_app(args, config, KeyRing(()), ServerState()).user_middleware]
    assert (Layer in layers) is present
