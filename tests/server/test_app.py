"""The application as it is put together, without an engine."""

from typing import Any

import httpx
import pytest

from tenuto_server.app import build_app
from tenuto_server.config import parse_command_line
from tenuto_server.journal import Journal
from tenuto_server.security import KeyRing
from tenuto_server.service import Service


@pytest.fixture(scope="module")
def app() -> httpx.ASGITransport:
    config, args = parse_command_line(["some/model"])
    return httpx.ASGITransport(build_app(args, config, KeyRing(()), Service()))


async def test_no_redirect_is_made_from_the_host_header(app: httpx.ASGITransport) -> None:
    """A path that is one slash off is a 404, no way to wherever a client's Host says."""
    async with httpx.AsyncClient(transport=app, base_url="http://elsewhere.example") as http:
        assert (await http.get("/livez")).status_code == 200
        response = await http.get("/livez/")
    assert (response.status_code, response.headers.get("location")) == (404, None)


async def test_every_endpoint_says_that_a_body_may_be_too_slow(app: httpx.ASGITransport) -> None:
    async with httpx.AsyncClient(transport=app, base_url="http://server") as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
    posts = {path: methods["post"]["responses"] for path, methods in paths.items() if "post" in methods}
    assert len(posts) > 8
    assert [path for path, responses in posts.items() if "408" not in responses] == []


class Layer:
    """A middleware that somebody puts in between with `--middleware`."""


@pytest.mark.parametrize(("flags", "is_short_way"), [([], True), (["--middleware", f"{__name__}.Layer"], False)])
def test_streams_take_the_short_way_unless_somebody_may_have_to_see_every_chunk(
    flags: list[str], is_short_way: bool
) -> None:
    config, args = parse_command_line(["some/model", *flags])
    layers: dict[Any, Any] = {
        layer.cls: layer.kwargs for layer in build_app(args, config, KeyRing(()), Service()).user_middleware
    }
    assert (Layer in layers) is not is_short_way
    assert layers[Journal]["is_short_way"] is is_short_way
