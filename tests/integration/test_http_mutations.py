"""A body with one wrong value gets one clear error, at once and without a trace in the server's memory."""

import json
import time
from collections.abc import Mapping
from typing import Any

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenuto_testing.mutated_bodies import VALID, mutated_bodies
from tenuto_testing.servers import MODEL, NO_TLS, RunningServer

#: Seconds for a reply of a few tokens, or a refusal, on a busy machine.
_SECONDS = 10.0
#: Fields without which a reply may be as long as the context.
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_MAX_MESSAGE = 1000
_MAX_GROWTH = 200 * 2**20  # bytes: what a server of this size takes for caches of its own


def send(http: httpx.Client, path: str, body: Mapping[str, Any]) -> httpx.Response:
    model = {} if path.startswith("/v1/requests") else {"model": MODEL}
    return http.post(path, content=json.dumps({**model, **body}), headers={"Content-Type": "application/json"})


def check_error(path: str, response: httpx.Response) -> None:
    """One error in the endpoint's shape, which names a field."""
    error = response.json()["error"]
    assert ("type" in response.json()) == path.startswith("/v1/messages"), response.text
    assert 0 < len(error["message"]) < _MAX_MESSAGE, response.text
    assert "validation errors" not in error["message"], response.text
    if response.status_code != 404:  # no such model, no such reply
        assert error.get("param"), response.text


@pytest.mark.parametrize("path", VALID)
def test_the_bodies_are_valid_before_they_are_changed(server: RunningServer, path: str) -> None:
    with httpx.Client(base_url=server.url, verify=NO_TLS, timeout=60) as http:
        for body in VALID[path]:
            response = send(http, path, body)
            assert response.status_code == (404 if "/requests/" in path else 200), response.text


@pytest.mark.parametrize("path", VALID)
def test_a_wrong_value_gets_one_clear_error(server: RunningServer, path: str, is_long: bool) -> None:
    process = psutil.Process(server.process.pid)
    tried = 0

    @settings(max_examples=1500 if is_long else 40, suppress_health_check=list(HealthCheck), derandomize=not is_long)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        nonlocal tried
        body, place = data.draw(mutated_bodies(path))
        tried += 1
        began = time.monotonic()
        response = send(http, path, body)
        seconds = time.monotonic() - began
        assert seconds < _SECONDS or place[-1] in _LIMITS, f"{place}: {seconds:.1f} s"
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            check_error(path, response)
        elif "event-stream" in response.headers["content-type"]:
            assert '"error"' not in response.text, response.text[-2000:]

    with httpx.Client(base_url=server.url, verify=NO_TLS, timeout=60) as http:
        memory = process.memory_info().rss
        run()
        assert process.memory_info().rss - memory < _MAX_GROWTH
        assert http.get("/readyz").status_code == 200
    print(f"{path}: {tried} mutated bodies")  # noqa: T201 - shown by the long form
