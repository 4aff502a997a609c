"""What a benchmark is: it measures, and it tells a reader what came out. Each is a module of this package."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .spread import Spread

#: What is kept of a measurement: JSON, so that tables can be made again without measuring.
Results = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One run of a benchmark.

    Attributes:
        quick: measure as little as shows that it works; the figures say nothing.
        work: an empty folder for models and logs, removed afterwards.
        say: tells whoever waits how far it has come.
    """

    quick: bool
    work: Path
    say: Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """What was to be reached, what was found, and whether that reaches it; None where it was not measured."""

    text: str
    found: str
    reached: bool | None


@dataclass(frozen=True)
class Table:
    """A table of the page; `caption` says what stands in it, with units."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plot:
    """Curves with their spread, drawn into `docs/benchmarks/NAME.svg`.

    Attributes:
        name: of the file, without its ending.
        title, x, y: what is shown; the axes with units.
        curves: by their label, points of x and the spread of y.
        log_x, log_y: whether an axis is logarithmic.
    """

    name: str
    title: str
    x: str
    y: str
    curves: Mapping[str, Sequence[tuple[float, Spread]]]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Section:
    """What the page says of one benchmark.

    Attributes:
        title: a few words.
        text: paragraphs in Markdown: what is compared with what, on which model and load, and how to read it.
        targets: in the order of the issue.
        tables, plots: what was found.
        notes: paragraphs below the tables: what explains the figures.
    """

    title: str
    text: str
    targets: Sequence[Target]
    tables: Sequence[Table]
    plots: Sequence[Plot] = ()
    notes: Sequence[str] = field(default=())


class Benchmark(Protocol):
    """A module of this package that measures."""

    def measure(self, run: Run) -> Results:
        """Measure; takes minutes. What is returned can be written as JSON."""

    def section(self, results: Results) -> Section:
        """The page's part, from results as `measure` gave them, read back from JSON."""
