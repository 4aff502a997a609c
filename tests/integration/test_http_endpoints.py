"""Behaviour that all endpoints that generate share, whatever their fields are called."""

import gzip
import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import zstandard

from tenuto_testing.servers import MODEL, RunningServer

QUESTION = "Add up this bill: soup 9, fish 4"
PROMPT = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
MESSAGES = [{"role": "user", "content": QUESTION}]
SCHEMA = {"type": "string", "enum": ["much", "little"]}
NAMED = {"name": "amount", "schema": SCHEMA}
AS_FORMAT = {"response_format": {"type": "json_schema", "json_schema": NAMED}}


@dataclass(frozen=True)
class Endpoint:
    """One of the APIs.

    Attributes:
        body: of a request.
        limit: its name for the most tokens of a reply.
        asks_json: its way to ask for a JSON value after SCHEMA.
        report, answer: where a reply has them.
    """

    path: str
    body: dict[str, Any]
    limit: str
    asks_json: dict[str, Any]
    report: tuple[str | int, ...]
    answer: tuple[str | int, ...]

    def ask(self, tokens: int, **more: Any) -> dict[str, Any]:
        return {"model": MODEL, "temperature": 0, self.limit: tokens, **self.body, **more}


ENDPOINTS = [
    Endpoint(
        path="/v1/chat/completions",
        body={"messages": MESSAGES},
        limit="max_tokens",
        asks_json=AS_FORMAT,
        report=("choices", 0, "thinking"),
        answer=("choices", 0, "message", "content"),
    ),
    Endpoint(
        path="/v1/chat/completions/batch",
        body={"messages": [MESSAGES]},
        limit="max_tokens",
        asks_json=AS_FORMAT,
        report=("choices", 0, "thinking"),
        answer=("choices", 0, "message", "content"),
    ),
    Endpoint(
        path="/v1/completions",
        body={"prompt": PROMPT},
        limit="max_tokens",
        asks_json=AS_FORMAT,
        report=("choices", 0, "thinking"),
        answer=("choices", 0, "text"),
    ),
    Endpoint(
        path="/v1/responses",
        body={"input": QUESTION},
        limit="max_output_tokens",
        asks_json={"text": {"format": {"type": "json_schema", **NAMED}}},
        report=("thinking", 0),
        answer=("output", 1, "content", 0, "text"),
    ),
    Endpoint(
        path="/v1/messages",
        body={"messages": MESSAGES},
        limit="max_tokens",
        asks_json={"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        report=("thinking_report",),
        answer=("content", 1, "text"),
    ),
]

each = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
each_stream = pytest.mark.parametrize("endpoint", [ENDPOINTS[0], *ENDPOINTS[2:]], ids=lambda endpoint: endpoint.path)


def find(reply: Any, place: tuple[str | int, ...]) -> Any:
    for step in place:
        reply = reply[step]
    return reply


@each
def test_the_answer_follows_its_schema_once_the_cap_has_closed_the_thinking(
    server: RunningServer, endpoint: Endpoint
) -> None:
    request = endpoint.ask(100, max_thinking_tokens=12, **endpoint.asks_json)
    reply = server.post(endpoint.path, **request).json()
    report, answer = find(reply, endpoint.report), find(reply, endpoint.answer)
    assert (report["tokens"], report["ended_by"]) == (12, "cap")
    assert json.loads(answer.rpartition("\nanswer")[2]) in SCHEMA["enum"]


@each
def test_an_automatic_cap_leaves_room_for_the_answer(server: RunningServer, endpoint: Endpoint) -> None:
    request = endpoint.ask(60, max_thinking_tokens="auto", answer_reserve_tokens=20, num_waits=30)
    reply = server.post(endpoint.path, **request).json()
    report = find(reply, endpoint.report)
    assert report["ended_by"] == "cap"
    assert report["tokens"] == report["max_thinking_tokens"] == 60 - 9 - 20
    assert find(reply, endpoint.answer)


@each_stream
def test_closing_a_stream_stops_the_engine(server: RunningServer, endpoint: Endpoint) -> None:
    request = endpoint.ask(3500, min_thinking_tokens=3000, stream=True)
    with httpx.stream("POST", server.url + endpoint.path, json=request, timeout=60) as response:
        pieces = response.iter_raw()
        next(pieces)
        server.wait_until(lambda: server.gauge("vllm:num_requests_running") == 1, seconds=20)
    server.wait_until(lambda: server.gauge("vllm:num_requests_running") == 0, seconds=20)
    assert server.post(endpoint.path, **endpoint.ask(20)).status_code == 200


@each
def test_a_compressed_body_is_read_as_if_it_were_not(server: RunningServer, endpoint: Endpoint) -> None:
    body = json.dumps(endpoint.ask(20, max_thinking_tokens=5)).encode()
    compressed = {"gzip": gzip.compress(body), "zstd": zstandard.compress(body), "br": body}
    for encoding, content in compressed.items():
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        response = httpx.post(server.url + endpoint.path, content=content, headers=headers, timeout=60)
        if encoding == "br":
            assert response.status_code == 415
            assert "Content-Encoding" in response.json()["error"]["message"]
        else:
            assert find(response.json(), endpoint.report)["tokens"] == 5
