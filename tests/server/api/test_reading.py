"""What an endpoint raises before the engine has accepted its request is an error 400 that names a field."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.testclient import TestClient
from vllm.exceptions import VLLMValidationError
from vllm.v1.engine.exceptions import EngineDeadError

from tenuto_server.api.error_handlers import error_response, install_error_handlers
from tenuto_server.api.reading import ReadingRoute
from tenuto_server.context import CurrentRequest, report_engine_reached, using_request
from tenuto_server.vllm_compat import create_error_response


def choose_tool() -> None:
    raise KeyError("function")


def fail(name: str) -> None:
    if name == "tools":
        choose_tool()
    raise {
        "index": IndexError("list index out of range"),
        "value": ValueError("the stop is too long"),
        "grammar": ValueError("Grammar error: at 1(8)"),
        "part": VLLMValidationError("Unsupported part", parameter="type", value="x" * 9999),
        "named": VLLMValidationError("stop: is wrong", parameter="stop"),
        "dead": EngineDeadError(),
        "missing": NotImplementedError("not here"),
    }[name]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = FastAPI()
    app.state.args = SimpleNamespace(log_error_stack=False)
    install_error_handlers(app)
    router = APIRouter(route_class=ReadingRoute)

    @router.post("/v1/responses/{name}")
    def raised(name: str, reached: bool = False) -> None:
        if reached:
            report_engine_reached()
        fail(name)

    @router.post("/v1/returned")
    def returned(request: Request, reached: bool = False) -> Any:
        if reached:
            report_engine_reached()
        return error_response(create_error_response(IndexError("list index out of range")), request)

    app.include_router(router)

    async def within_request(scope: Any, receive: Any, send: Any) -> None:
        fields = ("input", "tools", "stop", "structured_outputs")
        with using_request(CurrentRequest("/v1/responses", fields)):
            await app(scope, receive, send)

    with TestClient(within_request, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("name", "param", "message"),
    [
        ("index", "input", "input: cannot be read (IndexError: list index out of range)"),
        ("tools", "tools", "tools: cannot be read (KeyError: 'function')"),
        ("value", "stop", "stop: the stop is too long"),
        ("grammar", "structured_outputs", "structured_outputs: Grammar error"),
        ("part", "input", "input: Unsupported part"),
        ("named", "stop", "stop: is wrong"),
    ],
)
def test_what_fails_while_a_request_is_read_is_a_400_that_names_the_field(
    client: TestClient, name: str, param: str, message: str
) -> None:
    response = client.post(f"/v1/responses/{name}")
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert error["message"].startswith(message)
    assert len(error["message"]) < 600
    assert "Connection" not in response.headers


def test_the_log_has_the_traceback_and_the_id(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "vllm.tenuto"):
        client.post("/v1/responses/index", headers={"X-Request-Id": "bill-1"})
    (record,) = [record for record in caplog.records if record.name == "vllm.tenuto"]
    assert "Request bill-1 could not be read" in record.getMessage()
    assert record.exc_info is not None


@pytest.mark.parametrize(("name", "status"), [("dead", 500), ("missing", 501)])
def test_what_is_not_about_the_request_keeps_its_status(client: TestClient, name: str, status: int) -> None:
    assert client.post(f"/v1/responses/{name}").status_code == status


def test_a_fault_after_the_engine_was_reached_is_a_500_that_says_that_the_connection_is_closed(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "vllm.tenuto"):
        response = client.post("/v1/responses/index?reached=true", headers={"X-Request-Id": "bill-2"})
    assert (response.status_code, response.headers["Connection"]) == (500, "close")
    assert "Request bill-2 failed" in caplog.text


def test_an_error_that_a_serving_object_returns_is_treated_in_the_same_way(client: TestClient) -> None:
    before, after = client.post("/v1/returned"), client.post("/v1/returned?reached=true")
    assert (before.status_code, before.json()["error"]["param"]) == (400, "input")
    assert after.status_code == 500
