"""Servers that the tests in this folder share; the log is part of the report of a test that fails."""

import json
from collections.abc import AsyncIterator, Generator, Iterator

import pytest
from anthropic import Anthropic
from openai import AsyncOpenAI, OpenAI

from tenuto_testing.reply_counter import ReplyCounter
from tenuto_testing.servers import MODEL_FOLDER, RunningServer, serving, wait_until_ended
from tenuto_testing.thinker_model import THINKER_OPTIONS, save_thinker

_started = pytest.StashKey[RunningServer]()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[RunningServer]:
    """`tenuto serve` with the built-in model, ready."""
    with serving(tmp_path_factory.mktemp("server") / "log") as running:
        pytestconfig.stash[_started] = running
        running.wait_until(running.ready)
        yield running


@pytest.fixture(scope="session")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """`tenuto serve` with a tiny random model of the `<think>` family, and tools.

    At the end the server itself is killed: the processes that it started end on their own.
    """
    folder = save_thinker(tmp_path_factory.mktemp("thinker"))
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(log, str(folder), *THINKER_OPTIONS, environment=environment) as running:
        running.wait_until(running.ready)
        yield running
        started = running.descendants()
        assert {"VLLM::EngineCore", "VLLM::Worker"} <= {process.name() for process in started}
        running.process.kill()
        wait_until_ended(started)


@pytest.fixture(scope="session")
def client(server: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as openai:
        yield openai


@pytest.fixture(scope="session")
def anthropic(server: RunningServer) -> Iterator[Anthropic]:
    with Anthropic(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
async def async_client(server: RunningServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as openai:
        yield openai


@pytest.fixture(scope="session")
def questions() -> list[str]:
    """Problems that the built-in model was trained for."""
    lines = (MODEL_FOLDER / "problems.jsonl").read_text().splitlines()
    return [json.loads(line)["question"] for line in lines]


@pytest.fixture(scope="session")
def counter() -> ReplyCounter:
    return ReplyCounter()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    running = item.config.stash.get(_started, None)
    if report.failed and running is not None and "server" in getattr(item, "fixturenames", ()):
        report.sections.append(("server log", running.tail(lines=60)))
    return report
