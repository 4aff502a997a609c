"""A benchmark that measures nothing, for tests of the command and of the page."""

from collections.abc import Sequence
from types import ModuleType

from benchmarks.benchmark import Plot, Results, Run, Section, Table, Target
from benchmarks.kept import Kept
from benchmarks.spread import Spread

MACHINE = {"processor": "Abacus", "cores": "2", "tenuto": "0.1.0 abcdef0123"}


def kept(name: str, results: Results, *, machine: dict[str, str] = MACHINE, seconds: float = 75.4) -> Kept:
    return Kept(name, "2026-11-23 17:05", machine, seconds, results)


def section(name: str, *found: float, limit: float = 2.0) -> Section:
    """One target: that the median of what was found stays within the limit; None where nothing was found."""
    spread = Spread.of(found or [0.0])
    return Section(
        title=f"The cost of {name}",
        text="A paragraph.\n\nAnother one.\n",
        targets=[Target(f"within {limit} %", str(spread), spread.median <= limit if found else None)],
        tables=[Table("Per cent by streams", ("streams", "cost | %"), [("1", str(spread)), ("64", "a|b")])],
        plots=[Plot(f"{name}-cost", f"Cost of {name}", "streams", "%", {"ours": [(1, spread), (64, spread)]})],
        notes=["A note."],
    )


class MadeUp(ModuleType):
    """Stands for a module of `benchmarks`; it says what it is told to find, or fails."""

    def __init__(self, name: str, found: Sequence[float] = (), error: Exception | None = None) -> None:
        super().__init__(f"benchmarks.{name}")
        self.name = name
        self.found = found
        self.error = error
        self.runs: list[Run] = []

    def measure(self, run: Run) -> Results:
        self.runs.append(run)
        assert list(run.work.iterdir()) == []
        (run.work / "model").touch()
        run.say("measuring")
        if self.error:
            raise self.error
        return {"found": tuple(self.found)}

    def section(self, results: Results) -> Section:
        assert isinstance(results["found"], list), "read back from JSON"
        return section(self.name, *results["found"])
