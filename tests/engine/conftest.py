"""Engines that the tests in this folder share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tenuto_testing.cases import families
from tenuto_testing.engines import Engine, Engines, in_process_engines
from tenuto_testing.random_model import save_small

TALLY = pytest.StashKey[list[str]]()


@pytest.fixture(scope="package")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of 32 rows, with one-character tokens."""
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="package")
def engines() -> Iterator[Engines]:
    with in_process_engines() as started:
        yield started


@pytest.fixture(scope="package")
def engine(engines: Engines, small_model: Path) -> Engine:
    """The small model with budgets; each test first selects its markers."""
    return engines.start(small_model, markers=families()["think-like, one token"].markers)


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> list[str]:
    """Lines shown at the end of the run: how many cases were compared, and with what result."""
    return request.config.stash.setdefault(TALLY, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(TALLY, [])
    if lines:
        terminalreporter.section("engine")
        for line in lines:
            terminalreporter.write_line(line)
