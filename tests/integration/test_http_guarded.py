"""A server with keys and small limits, as one would run it for others."""

from collections.abc import Iterator

import httpx
import pytest
from openai import AuthenticationError, OpenAI

from tests.integration.running_server import MODEL, RunningServer, serving

KEY, FILE_KEY, OTHER_KEY = "key-of-the-line", "key-of-the-file", "key-of-the-environment"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "keys").write_text(f"# of the team\n{FILE_KEY}\n")
    options = ("--api-key", KEY, "--api-key-file", str(folder / "keys"), "--public-metrics")
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


def test_the_keys_are_nowhere_to_be_read(guarded: RunningServer) -> None:
    """Neither in the log nor in the environment of the processes that were started."""
    assert "key-of-the" not in guarded.log.read_text()
    assert all("key-of-the" not in str(child.environ()) for child in guarded.descendants())
    assert len(guarded.descendants()) >= 2
