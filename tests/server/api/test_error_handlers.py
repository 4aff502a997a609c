"""Every exception becomes an error in the shape of the API that was called."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from vllm.entrypoints.serve.engine.protocol import OpenAIBaseModel
from vllm.exceptions import VLLMNotFoundError, VLLMValidationError
from vllm.v1.engine.exceptions import EngineDeadError

from tenuto_decoding.errors import InvalidBudget
from tenuto_server.api.error_handlers import install_error_handlers
from tenuto_server.errors import NotRunning

RAISED: dict[str, Exception] = {
    "budget": InvalidBudget("num_waits", "-1 is negative"),
    "steering": NotRunning("x"),
    "field": VLLMValidationError("top_k: no", parameter="top_k"),
    "model": VLLMNotFoundError("no such model"),
    "value": ValueError("a bad value"),
    "missing": NotImplementedError("not here"),
    "dead": EngineDeadError(),
    "http": HTTPException(401, "who are you", headers={"WWW-Authenticate": "Bearer"}),
    "bug": RuntimeError("a bug"),
}


class Body(OpenAIBaseModel):
    number: int


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = FastAPI()
    app.state.args = SimpleNamespace(log_error_stack=False)
    install_error_handlers(app)

    @app.get("/v1/fail/{name}")
    @app.get("/v1/messages/fail/{name}")
    def fail(name: str) -> None:
        raise RAISED[name]

    @app.post("/v1/body")
    @app.post("/v1/messages/body")
    def take(body: Body) -> None: ...

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("name", "status", "kind", "param"),
    [
        ("budget", 400, "BadRequestError", "num_waits"),
        ("steering", 404, "NotFoundError", None),
        ("field", 400, "BadRequestError", "top_k"),
        ("model", 404, "NotFoundError", None),
        ("value", 400, "BadRequestError", None),
        ("missing", 501, "NotImplementedError", None),
        ("dead", 500, "InternalServerError", None),
        ("http", 401, "UnauthorizedError", None),
        ("bug", 500, "InternalServerError", None),
    ],
)
def test_errors_have_the_shape_of_the_api(
    client: TestClient, name: str, status: int, kind: str, param: str | None
) -> None:
    response = client.get(f"/v1/fail/{name}")
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"], error["param"]) == (status, status, kind, param)
    assert response.headers.get("WWW-Authenticate") == ("Bearer" if name == "http" else None)

    anthropic = client.get(f"/v1/messages/fail/{name}")
    kinds = {401: "authentication_error", 404: "not_found_error"}
    expected = kinds.get(status, "api_error" if status >= 500 else "invalid_request_error")
    assert anthropic.status_code == status
    named = {} if param is None else {"param": param}
    assert anthropic.json() == {"type": "error", "error": {"type": expected, "message": error["message"], **named}}


@pytest.mark.parametrize("path", ["/v1/body", "/v1/messages/body"])
def test_bodies_that_do_not_validate_are_400_with_the_field(client: TestClient, path: str) -> None:
    response = client.post(path, json={"number": "x"})
    error: dict[str, Any] = response.json()["error"]
    assert response.status_code == 400
    assert "number" in error["message"]
    assert len(json.dumps(error)) < 1000
    if path == "/v1/body":
        assert (error["type"], error["param"], error["code"]) == ("BadRequestError", "number", 400)


def test_unknown_paths_and_wrong_methods_are_errors_of_the_same_shape(client: TestClient) -> None:
    assert client.get("/v1/nothing").json()["error"]["type"] == "NotFoundError"
    wrong = client.get("/v1/body")
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (405, "MethodNotAllowedError")
