"""A server with API keys and small limits, as for untrusted clients."""

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from openai import AuthenticationError, OpenAI

from tenuto_testing.servers import LONG_CONTEXT, MODEL, STOP_SECONDS, RunningServer, serving, wait_until_ended

KEY, FILE_KEY, OTHER_KEY = "key-of-the-line", "key-of-the-file", "key-of-the-environment"

MAX_BODY, MAX_OUTPUT, PLACES = 20_000, 60_000, 4
LIMITS = (
    *LONG_CONTEXT,
    *("--max-num-seqs", "2", "--max-queued-requests", "2", "--max-n", "3", "--max-num-waits", "5"),
    *("--max-body-bytes", str(MAX_BODY), "--max-output-tokens", str(MAX_OUTPUT), "--drain-timeout", "0"),
    *("--log-format", "json"),
)
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Add up this bill: soup 9, fish 4"}]}
LONG = QUESTION | {"max_tokens": MAX_OUTPUT, "min_thinking_tokens": MAX_OUTPUT - 100, "temperature": 1}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "keys").write_text(f"# of the team\n{FILE_KEY}\n")
    options = ("--api-key", KEY, "--api-key-file", str(folder / "keys"), "--public-metrics", *LIMITS)
    with serving(folder / "log", *options, environment={"TENUTO_API_KEYS": OTHER_KEY}) as running:
        running.wait_until(running.ready)
        yield running


@pytest.fixture(scope="module")
def http(guarded: RunningServer) -> Iterator[httpx.Client]:
    """A client with a key."""
    with httpx.Client(base_url=guarded.url, headers={"X-Api-Key": KEY}, timeout=100) as client:
        yield client


@pytest.mark.parametrize("key", [KEY, FILE_KEY, OTHER_KEY], ids=["line", "file", "environment"])
def test_each_key_is_accepted(guarded: RunningServer, key: str) -> None:
    with OpenAI(base_url=f"{guarded.url}/v1", api_key=key, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == [MODEL]


def test_a_wrong_key_is_the_sdks_authentication_error(guarded: RunningServer) -> None:
    with OpenAI(base_url=f"{guarded.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(AuthenticationError) as refusal:
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hello"}])
        assert "no valid API key" in refusal.value.message


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/docs", "/openapi.json", "/tokenize", "/v1/chat/completions", "/playground/settings", "/any"],
)
def test_every_path_requires_a_key(guarded: RunningServer, path: str) -> None:
    assert guarded.get(path).status_code == 401
    assert httpx.post(guarded.url + path, json={}, headers={"Host": "localhost/livez?"}).status_code == 401


def test_metrics_are_public_with_the_option(guarded: RunningServer, http: httpx.Client) -> None:
    assert "vllm:num_requests_running" in guarded.get("/metrics").text
    assert http.get("/openapi.json").status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 4}, "n"),
        ({"num_waits": 6}, "num_waits"),
        ({"max_tokens": MAX_OUTPUT + 1}, "max_tokens"),
        ({"chat_template": "{{ 7 * 7 }}"}, "chat_template"),
        ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///a"}}]}]},
            "image_url",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_values_above_the_limits_and_forbidden_fields_are_a_400(
    http: httpx.Client, fields: dict[str, Any], param: str
) -> None:
    response = http.post("/v1/chat/completions", json=QUESTION | fields)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_a_request_without_max_tokens_is_bounded_too(http: httpx.Client) -> None:
    """The cap "auto" leaves 1,024 tokens for the answer, and some for the texts in between."""
    request = QUESTION | {"max_thinking_tokens": "auto", "temperature": 0}
    [choice] = http.post("/v1/chat/completions", json=request).json()["choices"]
    assert MAX_OUTPUT - 1100 < choice["thinking"]["max_thinking_tokens"] <= MAX_OUTPUT - 1024


def test_a_body_of_a_hundred_megabytes_takes_no_memory(guarded: RunningServer, http: httpx.Client) -> None:
    before = psutil.Process(guarded.process.pid).memory_info().rss
    pieces = (b" " * 2**20 for _ in range(100))
    for content in (b" " * 100 * 2**20, pieces):
        try:
            response = http.post("/v1/chat/completions", content=content)
        except httpx.TransportError:
            continue  # the connection is closed while the rest is on its way
        assert response.status_code == response.json()["error"]["code"] == 413
    assert psutil.Process(guarded.process.pid).memory_info().rss < before + 20 * 2**20


@pytest.mark.parametrize("headers", [{"X-Large": "x" * 2**20}, {f"X-{place}": "x" for place in range(300)}])
def test_a_head_that_is_too_large_is_a_431(guarded: RunningServer, headers: dict[str, str]) -> None:
    with suppress(httpx.TransportError):  # closed while the rest is on its way
        assert httpx.get(f"{guarded.url}/livez", headers=headers).status_code == 431
    assert guarded.get("/livez").status_code == 200


def test_without_a_free_slot_a_request_gets_a_503_with_retry_after(guarded: RunningServer, http: httpx.Client) -> None:
    """Two sequences run and two wait; n counts. A queued request is served when its slot is free."""
    with ExitStack() as clients:
        for n in (1, 3):
            client = clients.enter_context(httpx.Client(base_url=guarded.url, headers=http.headers, timeout=100))
            clients.enter_context(client.stream("POST", "/v1/chat/completions", json=LONG | {"n": n, "stream": True}))
        guarded.wait_until(lambda: guarded.gauge("vllm:num_requests_waiting") == PLACES - 2, seconds=20)
        tokens = guarded.gauge("vllm:prompt_tokens_total")
        for path, body in (("chat/completions", QUESTION), ("completions", {"prompt": "1"})):
            refused = http.post(f"/v1/{path}", json=body)
            assert refused.status_code == refused.json()["error"]["code"] == 503
            assert 0 < int(refused.headers["retry-after"]) <= 120
        assert guarded.gauge("vllm:prompt_tokens_total") == tokens
        assert http.get("/v1/models").status_code == 200
    assert http.post("/v1/chat/completions", json=QUESTION | {"n": 4}).status_code == 400
    guarded.wait_until(
        lambda: http.post("/v1/chat/completions", json=QUESTION | {"n": 3}).status_code == 200, seconds=20
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": "lone \ud800 surrogate"}]},
        {"chat_template_kwargs": {"bos_token": 7, "eos_token": ["x"], "anything": {"deep": [None]}}},
        {"vllm_xargs": {"max_thinking_tokens": 3, "other": [1, "a"]}},
        {"vllm_xargs": {"other": {"no": "scalar"}}},
        {"logit_bias": {"99999999": 1}},
        {"stop": ["x"] * 100},
        {"bad_words": ["x"] * 1000},
        {"priority": 5},
        {"structured_outputs": {"regex": "("}},
    ],
    ids=lambda value: str(value)[:30].encode("ascii", "replace").decode(),
)
def test_no_field_crashes_the_server(http: httpx.Client, fields: dict[str, Any]) -> None:
    body = json.dumps(QUESTION | {"max_tokens": 2} | fields)
    response = http.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (200, 400)


def lines(server: RunningServer) -> list[dict[str, Any]]:
    """The request log so far, one object per request, without an incomplete last line."""
    complete, _, _ = server.log.read_text().rpartition("\n")
    logged = [json.loads(line) for line in complete.splitlines() if line.startswith("{")]
    return [line for line in logged if "outcome" in line]


def line_of(server: RunningServer, name: str) -> dict[str, Any]:
    server.wait_until(lambda: any(line["request_id"] == name for line in lines(server)), seconds=20)
    [line] = [line for line in lines(server) if line["request_id"] == name]
    return line


def test_a_request_has_one_log_line_with_budget_and_report(guarded: RunningServer, http: httpx.Client) -> None:
    body = QUESTION | {"model": MODEL, "max_thinking_tokens": 30, "num_waits": 1, "temperature": 0}
    response = http.post("/v1/chat/completions", json=body, headers={"X-Request-Id": "of-mine"})
    reply = response.json()
    assert response.headers["x-request-id"] == "of-mine"
    assert reply["id"] == "chatcmpl-of-mine"
    line = line_of(guarded, "of-mine")
    assert line["thinking"] == [reply["choices"][0]["thinking"]]
    assert line["thinking"][0]["max_thinking_tokens"] == 30
    assert line["prompt_tokens"] == reply["usage"]["prompt_tokens"]
    assert line["output_tokens"] == reply["usage"]["completion_tokens"]
    assert (line["status"], line["outcome"], line["model"], line["sequences"]) == (200, "ok", MODEL, 1)
    assert 0 < line["first_byte_seconds"] <= line["seconds"]
    other = http.post("/v1/chat/completions", json=QUESTION | {"max_tokens": 1})
    assert other.json()["id"] == f"chatcmpl-{other.headers['x-request-id']}"
    assert line_of(guarded, other.headers["x-request-id"])["outcome"] == "ok"


def outcomes(server: RunningServer, name: str = "tenuto_requests_total") -> dict[str, float]:
    """Sums of a counter by the last of its labels."""
    samples = re.findall(rf'^{name}{{.*"(\w+)"}} (\S+)$', server.get("/metrics").text, re.MULTILINE)
    sums: dict[str, float] = {}
    for label, value in samples:
        sums[label] = sums.get(label, 0) + float(value)
    return sums


@pytest.mark.parametrize("phase", ["body", "whole", "waiting", "thinking", "answer"])
def test_a_client_that_disconnects_is_counted_once_by_phase(
    guarded: RunningServer, http: httpx.Client, phase: str
) -> None:
    """Its slots are free again, and the engine is idle."""
    before, phases = outcomes(guarded), outcomes(guarded, "tenuto_cancelled_requests_total")
    answering = {"max_thinking_tokens": 0, "min_thinking_tokens": 0}
    body = LONG | (answering if phase == "answer" else {}) | {"stream": phase != "whole", "ignore_eos": True}
    with ExitStack() as others:
        if phase == "waiting":  # all that can run is running
            for _ in range(2):
                client = others.enter_context(httpx.Client(base_url=guarded.url, headers=http.headers, timeout=100))
                others.enter_context(client.stream("POST", "/v1/chat/completions", json=LONG | {"stream": True}))
        tokens = guarded.gauge("vllm:generation_tokens_total")
        reached = {
            "body": lambda: True,
            "whole": lambda: guarded.gauge("vllm:num_requests_running") == 1,
            "waiting": lambda: guarded.gauge("vllm:num_requests_waiting") == 1,
        }.get(phase, lambda: guarded.gauge("vllm:generation_tokens_total") > tokens + 20)
        guarded.disconnect(json.dumps(body).encode(), reached, missing=1 if phase == "body" else 0, key=KEY)
        guarded.wait_until(
            lambda: outcomes(guarded, "tenuto_cancelled_requests_total").get(phase, 0) == phases.get(phase, 0) + 1, 20
        )
    gone = 1 + 2 * (phase == "waiting")
    guarded.wait_until(lambda: outcomes(guarded)["cancelled"] == before.get("cancelled", 0) + gone, seconds=20)
    after = outcomes(guarded)
    assert sum(after.values()) == sum(before.values()) + gone
    assert guarded.gauge("tenuto_sequences") == 0
    guarded.wait_until(lambda: guarded.gauge("vllm:num_requests_running") == 0, seconds=20)
    assert guarded.gauge("vllm:num_requests_waiting") == 0


def test_a_client_that_does_not_read_delays_no_other(guarded: RunningServer, http: httpx.Client) -> None:
    """Its socket is full, its reply goes on, and other clients are answered."""
    body = json.dumps(LONG | {"stream": True, "logprobs": True, "top_logprobs": 20})
    host, port = guarded.url.removeprefix("http://").split(":")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((host, int(port)))
        slow.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nX-Api-Key: {KEY}\r\nX-Request-Id: slow\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        guarded.wait_until(lambda: guarded.gauge("vllm:num_requests_running") == 1, seconds=20)
        for _ in range(3):
            assert http.post("/v1/chat/completions", json=QUESTION | {"max_thinking_tokens": 5}).status_code == 200
        assert not any(line["request_id"] == "slow" for line in lines(guarded))
    assert line_of(guarded, "slow")["outcome"] == "cancelled"


def test_every_line_is_an_object_and_none_contains_texts_of_requests(guarded: RunningServer) -> None:
    """On the terminal; in the log file too, except for output of libraries that bypass logging."""
    shown = [json.loads(line) for line in guarded.log.read_text().splitlines()]
    assert {line["name"].partition(".")[0] for line in shown} == {"vllm"}
    assert not [line for line in shown if "soup" in str(line) and "Tenuto is ready" not in line["message"]]
    logged = [json.loads(line) for line in log_file(guarded).splitlines() if line.startswith("{")]
    assert {"vllm", "uvicorn"} <= {line["name"].partition(".")[0] for line in logged}
    assert not [line for line in logged if "soup" in str(line) and "Tenuto is ready" not in line["message"]]


def log_file(server: RunningServer) -> str:
    """The text of the log file that the banner names."""
    banner = json.loads(server.log.read_text().partition("\n")[0])["message"]
    [path] = re.findall(r"log (\S+)", banner)
    return Path(path).read_text()


def test_the_keys_do_not_leak(guarded: RunningServer) -> None:
    """Neither in the log nor in the environment of the processes that were started."""
    assert "key-of-the" not in guarded.log.read_text() + log_file(guarded)
    assert all("key-of-the" not in str(child.environ()) for child in guarded.descendants())
    assert len(guarded.descendants()) >= 2


def test_when_the_engine_dies_clients_get_an_error_and_the_server_exits_with_one(
    guarded: RunningServer, http: httpx.Client
) -> None:
    """Comes last: it ends the server. SIGTERM is for the server alone: the engine's processes ignore it."""
    started = guarded.descendants()
    [core] = [process for process in started if process.name() == "VLLM::EngineCore"]
    with (
        ThreadPoolExecutor() as pool,
        httpx.Client(base_url=guarded.url, headers=http.headers, timeout=100) as other,
        http.stream(
            "POST", "/v1/chat/completions", json=LONG | {"stream": True}, headers={"X-Request-Id": "engine-dies"}
        ) as response,
    ):
        events = response.iter_lines()
        next(events)
        whole = pool.submit(other.post, "/v1/chat/completions", json=LONG)
        guarded.wait_until(lambda: guarded.gauge("vllm:num_requests_running") == 2, seconds=20)
        for process in started:
            process.terminate()
        assert all("error" not in event for event in islice(filter(None, events), 200))
        core.kill()
        said = [event for event in events if event]
        assert any(event.startswith('data: {"error"') for event in said)
        assert whole.result().status_code == whole.result().json()["error"]["code"] == 500
        assert not guarded.ready()
    assert guarded.process.wait(STOP_SECONDS) == 1
    wait_until_ended(started)
    [line] = [line for line in lines(guarded) if line["request_id"] == "engine-dies"]
    assert line["outcome"] == "error"
