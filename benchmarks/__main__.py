"""Run benchmarks, save their summaries, and write their tables and plots.

    python -m benchmarks                              # all benchmarks
    python -m benchmarks overhead soak                # these two
    python -m benchmarks --tables                     # none: write tables and plots again from the saved summaries
    python -m benchmarks --check                      # show that all of them run; saves nothing
    python -m benchmarks overhead --against PATH      # compare with another checkout; saves nothing

from the root of a checkout. A summary is saved as `benchmarks/results/NAME.json` when its benchmark ends.

The exit status is 1 if a benchmark failed, after the others have run. A target that is missed is no failure.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from tenuto_evaluation.launch import exit_on_sigterm
from tenuto_evaluation.tables import plain

from .benchmark import Benchmark, Report, Run
from .machine import describe_machine
from .pages import TARGETS_HEAD, target_rows, with_figures, write_plots, write_tables
from .results import Record, read_all, save

ROOT = Path(__file__).resolve().parent.parent
#: Modules of this package, in the order in which they run and are listed.
NAMES = ("overhead", "builtin_budget", "resuming", "fidelity", "soak")


@dataclass(frozen=True)
class Folders:
    """Where summaries with their tables, and the page with its plots, are written."""

    results: Path
    docs: Path

    def write(self) -> dict[str, Report]:
        """Write tables, plots and the page from all summaries that are saved."""
        saved = read_all(self.results)
        records = {name: saved[name] for name in NAMES if name in saved}
        reports = {name: load(name).report(record.results) for name, record in records.items()}
        for name, report in reports.items():
            write_tables(records[name], report, self.results)
        write_plots(reports, self.docs / "benchmarks")
        page = (ROOT / "docs/benchmarks.md").read_text()
        (self.docs / "benchmarks.md").write_text(with_figures(page, records, reports))
        return reports


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    published = Folders(ROOT / "benchmarks/results", ROOT / "docs")
    if options.tables:
        published.write()
        return 0
    with exit_on_sigterm():
        if len(options.names) > 1:
            failed = [name for name in options.names if run_in_process(name, options.check) != 0]
            print(f"FAILED: {', '.join(failed)}" if failed else "all benchmarks ran")
            return 1 if failed else 0
        with TemporaryDirectory(prefix=f"tenuto-{options.names[0]}-") as work:
            temporary = options.check or options.against
            folders = Folders(Path(work) / "results", Path(work) / "docs") if temporary else published
            run = Run(Path(work) / "work", options.check, options.against, options.minutes)
            run.work.mkdir()
            run_here(options.names[0], run, folders)
    return 0


def run_in_process(name: str, check: bool) -> int:
    """Run one benchmark in a process of its own, which vLLM may change as it likes; its exit status."""
    command = [sys.executable, "-m", __package__ or "benchmarks", name, *(["--check"] if check else [])]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            return process.wait()
        finally:
            process.terminate()


def run_here(name: str, run: Run, folders: Folders) -> None:
    """Measure, save the summary, write the pages, and print the tables."""
    machine = describe_machine()
    run.say("; ".join(f"{fact}: {value}" for fact, value in machine.items()))
    began = time.monotonic()
    results = load(name).measure(run)
    seconds = time.monotonic() - began
    save(Record(name, f"{datetime.now(UTC):%Y-%m-%d %H:%M}", machine, seconds, results), folders.results)
    report = folders.write()[name]
    for table in report.tables:
        print(f"\n{table.caption}:\n\n{plain(table.head, table.rows)}")
    print(f"\n{plain(TARGETS_HEAD, target_rows({name: report}))}\n")
    run.say(f"{name} took {seconds:.0f} s{'; it measured too little for its figures to mean anything' * run.check}")


def load(name: str) -> Benchmark:
    """The benchmark's module, imported only when needed: each takes seconds to import."""
    return import_module(f"{__package__}.{name}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--check", action="store_true", help="measure little and save nothing: does everything run?")
    parser.add_argument("--tables", action="store_true", help="only write tables and plots from the saved summaries")
    parser.add_argument("--against", type=checkout, metavar="PATH", help="overhead: another checkout with its .venv")
    parser.add_argument("--minutes", type=float, help="overhead: how long to measure, without the servers' starts")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if options.tables and (options.names or options.check):
        parser.error("--tables measures nothing; use it alone")
    if (options.against or options.minutes) and options.names != ["overhead"]:
        parser.error("--against and --minutes are options of overhead: name it, and only it")
    options.names = list(dict.fromkeys(options.names)) or list(NAMES)
    return options


def checkout(text: str) -> Path:
    path = Path(text).resolve()
    if not (path / ".venv/bin/python").exists():
        raise argparse.ArgumentTypeError(f"{path} has no .venv/bin/python; run `make setup` there")
    return path


if __name__ == "__main__":
    sys.exit(main())
