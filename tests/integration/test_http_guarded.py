"""A server with keys and small limits, as one would run it for others."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import psutil
import pytest
from openai import AuthenticationError, OpenAI

from tests.integration.running_server import MODEL, RunningServer, serving

KEY, FILE_KEY, OTHER_KEY = "key-of-the-line", "key-of-the-file", "key-of-the-environment"

MAX_BODY, MAX_OUTPUT, PLACES = 20_000, 2000, 4
LIMITS = (
    *("--max-num-seqs", "2", "--max-queued-requests", "2", "--max-n", "3", "--max-num-waits", "5"),
    *("--max-body-bytes", str(MAX_BODY), "--max-output-tokens", str(MAX_OUTPUT), "--drain-timeout", "0"),
)
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Add up this bill: soup 9, fish 4"}]}
LONG = QUESTION | {"max_tokens": MAX_OUTPUT, "min_thinking_tokens": 1800, "temperature": 1}


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
def test_each_key_opens(guarded: RunningServer, key: str) -> None:
    with OpenAI(base_url=f"{guarded.url}/v1", api_key=key, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == [MODEL]


def test_a_wrong_key_is_what_the_sdk_calls_it(guarded: RunningServer) -> None:
    with OpenAI(base_url=f"{guarded.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(AuthenticationError) as refusal:
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hello"}])
        assert "no valid API key" in refusal.value.message


@pytest.mark.parametrize("path", ["/v1/models", "/docs", "/openapi.json", "/tokenize", "/v1/chat/completions", "/"])
def test_every_path_asks_for_a_key(guarded: RunningServer, path: str) -> None:
    assert guarded.get(path).status_code == 401
    assert httpx.post(guarded.url + path, json={}, headers={"Host": "localhost/livez?"}).status_code == 401


def test_metrics_are_public_because_an_option_says_so(guarded: RunningServer, http: httpx.Client) -> None:
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
def test_what_is_too_much_or_not_for_requests_to_say_is_a_400(
    http: httpx.Client, fields: dict[str, Any], param: str
) -> None:
    response = http.post("/v1/chat/completions", json=QUESTION | fields)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_a_request_that_does_not_say_is_bounded_too(http: httpx.Client) -> None:
    """The cap "auto" leaves a quarter of what the reply may have for the answer."""
    [choice] = http.post("/v1/chat/completions", json=QUESTION | {"max_thinking_tokens": "auto"}).json()["choices"]
    assert MAX_OUTPUT / 2 < choice["thinking"]["max_thinking_tokens"] <= MAX_OUTPUT * 3 / 4


def test_a_body_of_a_hundred_megabytes_costs_nothing(guarded: RunningServer, http: httpx.Client) -> None:
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


def test_when_all_places_are_taken_the_next_is_told_to_come_back(guarded: RunningServer, http: httpx.Client) -> None:
    """Two sequences run and two wait; n counts. What waits is served as soon as its place has come."""
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


def test_the_keys_are_nowhere_to_be_read(guarded: RunningServer) -> None:
    """Neither in the log nor in the environment of the processes that were started."""
    assert "key-of-the" not in guarded.log.read_text()
    assert all("key-of-the" not in str(child.environ()) for child in guarded.descendants())
    assert len(guarded.descendants()) >= 2
