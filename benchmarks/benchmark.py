"""The interface of a benchmark: each is a module of this package with `measure` and `report`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from .estimates import Estimate

#: A summary of what was measured, as JSON: medians, intervals and counts, no single samples.
Results = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """How a benchmark is run.

    Attributes:
        work: an empty folder for models and logs, removed afterwards.
        check: measure as little as possible, only to show that everything runs.
        against: another checkout, with its own `.venv`, that `overhead` measures as well.
        minutes: how long `overhead` measures, not counting the starts of servers; None for its default.
    """

    work: Path
    check: bool = False
    against: Path | None = None
    minutes: float | None = None
    _began: float = field(default_factory=time.monotonic)

    def say(self, line: str) -> None:
        """Print a line of progress with the time since the run began."""
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"[{minutes:3d}:{seconds:02d}] {line}", flush=True)


class Verdict(StrEnum):
    """Whether a target is reached; NOT_DISTINGUISHABLE if the noise is larger than the margin."""

    REACHED = "reached"
    MISSED = "MISSED"
    NOT_DISTINGUISHABLE = "not distinguishable"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Target:
    """A claim, the figures for it, and the verdict."""

    claim: str
    measured: str
    verdict: Verdict


@dataclass(frozen=True)
class Table:
    """A table; `caption` says what the cells are, with units."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plot:
    """Curves with their intervals, drawn into `docs/benchmarks/NAME.svg`.

    Attributes:
        name: of the file, without its suffix.
        title, x, y: the heading, and the axes with units.
        curves: points of x and an estimate of y, by label.
        log_x, log_y: whether an axis is logarithmic.
    """

    name: str
    title: str
    x: str
    y: str
    curves: Mapping[str, Sequence[tuple[float, Estimate]]]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Report:
    """What is shown of a benchmark's results."""

    targets: Sequence[Target]
    tables: Sequence[Table]
    plots: Sequence[Plot] = ()


class Benchmark(Protocol):
    """A module of this package that measures something."""

    def measure(self, run: Run) -> Results:
        """Measure, which takes minutes, and return a summary that can be written as JSON."""

    def report(self, results: Results) -> Report:
        """The targets, tables and plots of a summary that was read from JSON."""


def at_least(estimate: Estimate, bound: float) -> Verdict:
    """Whether the whole interval is at or above the bound. Without an interval, nothing is decided."""
    if not estimate.has_interval:
        return Verdict.NOT_DISTINGUISHABLE
    if estimate.least >= bound:
        return Verdict.REACHED
    return Verdict.MISSED if estimate.most < bound else Verdict.NOT_DISTINGUISHABLE


def at_most(estimate: Estimate, bound: float) -> Verdict:
    """Whether the whole interval is at or below the bound. Without an interval, nothing is decided."""
    if not estimate.has_interval:
        return Verdict.NOT_DISTINGUISHABLE
    if estimate.most <= bound:
        return Verdict.REACHED
    return Verdict.MISSED if estimate.least > bound else Verdict.NOT_DISTINGUISHABLE
