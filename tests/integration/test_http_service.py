"""Probes, the list of models, metrics, the API's own description, and clients that go away."""

import json
import time
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tenuto_decoding.budget import FIELDS
from tenuto_server import paths
from tenuto_testing.servers import MODEL, RunningServer

LONG: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Add up this bill: soup 9, fish 4"}],
    "max_tokens": 4000,
    "min_thinking_tokens": 3900,
    "temperature": 1,
}


def test_a_ready_server_is_alive_and_ready(server: RunningServer) -> None:
    assert server.get("/livez").json() == {"status": "alive"}
    assert server.get("/readyz").json() == {"status": "ready"}


def test_the_model_is_listed_under_its_name(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]


def test_a_model_is_shown_by_its_name(server: RunningServer, client: OpenAI) -> None:
    (listed,) = server.get("/v1/models").json()["data"]
    shown = server.get(f"/v1/models/{MODEL}").json()
    changing = {"created": None, "permission": None}
    assert {**shown, **changing} == {**listed, **changing}
    assert client.models.retrieve(MODEL).id == MODEL
    for name in ("nowhere", "org/nowhere", f"{MODEL}/", ""):
        response = server.get(f"/v1/models/{name}")
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["type"]) == (404, 404, "NotFoundError"), name
        assert (error["param"], repr(name) in error["message"]) == ("model", True)


def test_the_metrics_include_the_engines(server: RunningServer) -> None:
    response = server.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert f'vllm:num_requests_running{{engine="0",model_name="{MODEL}"}}' in response.text
    assert "http_requests_total" in response.text


#: The endpoints that generate: the name of their request, and whether they stream.
GENERATING = {
    "/v1/chat/completions": ("ChatCompletionRequest", True),
    "/v1/chat/completions/batch": ("BatchChatCompletionRequest", False),
    "/v1/completions": ("CompletionRequest", True),
    "/v1/responses": ("ResponsesRequest", True),
    "/v1/messages": ("MessagesRequest", True),
}


def test_the_api_document_describes_budget_fields_streams_and_errors(server: RunningServer) -> None:
    document = server.get("/openapi.json").json()
    assert GENERATING.keys() == {endpoint.path for endpoint in paths.ENDPOINTS if endpoint.generates}
    for path, (request, streams) in GENERATING.items():
        operation = document["paths"][path]["post"]
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        assert body == {"$ref": f"#/components/schemas/{request}"}
        fields = document["components"]["schemas"][request]["properties"]
        assert all(fields[name]["description"] for name in FIELDS)
        assert ("text/event-stream" in operation["responses"]["200"]["content"]) == streams
        assert operation["responses"].keys() >= {"400", "401", "404", "405", "413", "429", "500", "501", "503"}


def running(server: RunningServer) -> float:
    return server.gauge("vllm:num_requests_running")


def test_closing_a_stream_stops_the_engine(server: RunningServer) -> None:
    with httpx.stream(
        "POST", f"{server.url}/v1/chat/completions", json=LONG | {"stream": True}, timeout=60
    ) as response:
        pieces = response.iter_raw()
        next(pieces)
        server.wait_until(lambda: running(server) == 1, seconds=20)
    server.wait_until(lambda: running(server) == 0, seconds=20)
    produced = server.gauge("vllm:generation_tokens_total")
    time.sleep(1)
    assert server.gauge("vllm:generation_tokens_total") == produced


@pytest.mark.parametrize("n", [1, 3])
def test_closing_a_connection_before_the_reply_stops_the_engine(server: RunningServer, n: int) -> None:
    server.disconnect(json.dumps(LONG | {"n": n}).encode(), lambda: running(server) == n)
    produced = server.gauge("vllm:generation_tokens_total")
    server.wait_until(lambda: running(server) == 0, seconds=20)
    assert server.gauge("vllm:generation_tokens_total") < produced + n * LONG["min_thinking_tokens"] / 2
