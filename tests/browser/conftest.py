"""A real server of the built-in model with an API key, a real browser, and pages that are watched for errors."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tenuto_testing.servers import LONG_CONTEXT, RunningServer, serving
from tests.browser.watched_page import FLAGS, WatchedPage

ROOT = Path(__file__).resolve().parents[2]
#: Filled by scripts/playground_tools.sh.
TOOLS = ROOT / "build/playground/node_modules"
KEY = "key-of-the-playground"
MODELS = ("s1-tiny", "bill-adder")
OPTIONS = (*LONG_CONTEXT, "--api-key", KEY, "--served-model-name", *MODELS, "--max-num-waits", "64")

NewPage = Callable[..., WatchedPage]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """`tenuto serve`, ready. The last module ends it."""
    with serving(tmp_path_factory.mktemp("server") / "log", *OPTIONS) as running:
        running.wait_until(running.ready)
        yield running


@pytest.fixture(scope="session")
def browser(pytestconfig: pytest.Config) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=pytestconfig.option.browser, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def new_page(browser: Browser, server: RunningServer) -> Iterator[NewPage]:
    """Opens pages, each of a reader of its own, who has entered the key; after the test, none may have had an error."""
    opened: list[WatchedPage] = []

    def open_page(**options: Any) -> WatchedPage:
        opened.append(WatchedPage(browser, server.url, **{"key": KEY, **options}))
        return opened[-1]

    yield open_page
    for watched in opened:
        watched.close()
    assert [problem for watched in opened for problem in watched.problems] == []


@pytest.fixture
def page(new_page: NewPage) -> WatchedPage:
    return new_page()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core, to be run in a page."""
    return (TOOLS / "axe-core/axe.min.js").read_text()
