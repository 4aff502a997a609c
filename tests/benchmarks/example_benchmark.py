"""A benchmark that measures nothing, for tests of the command and of the pages."""

from collections.abc import Sequence
from types import ModuleType

from benchmarks.benchmark import Plot, Report, Results, Run, Table, Target, at_most
from benchmarks.estimates import Estimate
from benchmarks.results import Record

MACHINE = {
    "processor": "Abacus",
    "cores": "2",
    "memory": "1 GiB",
    "python": "3.11.7",
    "vllm": "0.32.0",
    "tenuto": "0.1.0 abcdef0123",
}


def record(name: str, results: Results) -> Record:
    return Record(name, "2026-11-23 17:05", MACHINE, 75.4, results)


def report(name: str, *interval: float) -> Report:
    """One target: that the value is at most 2. Without an interval, the value counts as certain."""
    found = Estimate(*interval)
    verdict = at_most(Estimate(found.value, found.least, found.most), 2.0)
    return Report(
        targets=[Target(f"{name} within 2 %", found.show(1), verdict)],
        tables=[Table(f"{name} in per cent", ("streams", "cost | %"), [("1", found.show(1)), ("64", "a|b")])],
        plots=[Plot(f"{name}-cost", f"Cost of {name}", "streams", "%", {"ours": [(1, found), (64, found)]})],
    )


class ExampleBenchmark(ModuleType):
    """Takes the place of a module of `benchmarks`; it finds what it was given, or fails."""

    def __init__(self, name: str, found: Sequence[float] = (1.0,), error: Exception | None = None) -> None:
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

    def report(self, results: Results) -> Report:
        assert isinstance(results["found"], list), "read back from JSON"
        return report(self.name, *results["found"])
