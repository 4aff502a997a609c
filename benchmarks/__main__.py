"""Measure, keep the results, and write the page.

    python -m benchmarks                   # all benchmarks
    python -m benchmarks overhead soak     # these
    python -m benchmarks --page            # none: writes the page anew from what is kept

from the root of a checkout. Results are kept in benchmarks/results/NAME.json as soon as a benchmark is done, and
docs/benchmarks.md is written from all that are kept. `--quick` measures as little as shows that all of it runs, and
keeps nothing.

Exits with 1 where a benchmark failed, after the others have run; targets that are missed are only said.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from tenuto_evaluation.launch import exit_on_sigterm
from tenuto_evaluation.tables import plain

from .benchmark import Benchmark, Run, Section
from .kept import Kept, keep, read_kept
from .machine import describe_machine
from .page import TARGETS_HEAD, target_rows, write_page
from .servers import keeping_servers

ROOT = Path(__file__).resolve().parent.parent
#: Modules of this package, in the order in which they run and stand on the page.
NAMES = ("overhead", "builtin_budget", "resuming", "fidelity", "footprint", "streaming", "hot_path", "soak")


@dataclass(frozen=True)
class Shelf:
    """Where results and the page are written."""

    results: Path
    docs: Path

    def write_page(self) -> Mapping[str, Section]:
        """From all that is kept; gives the sections that it wrote."""
        kept = {name: found for name, found in read_kept(self.results).items() if name in NAMES}
        sections = {name: load(name).section(found.results) for name, found in kept.items()}
        write_page(self.docs, NAMES, kept, sections)
        return sections


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    progress = Progress(sys.stdout)
    with exit_on_sigterm(), shelf(options.quick) as place, keeping_servers() if options.quick else nullcontext():
        if options.page:
            place.write_page()
            progress.say(f"written: {place.docs / 'benchmarks.md'}")
            return 0
        return run_all(options.names, options.quick, place, progress)


def run_all(names: Sequence[str], quick: bool, place: Shelf, progress: "Progress") -> int:
    """Run them one after the other, whatever becomes of each, and say what came of it. The exit status."""
    machine = describe_machine()
    progress.say("; ".join(f"{name}: {fact}" for name, fact in machine.items()))
    sections: dict[str, Section] = {}
    failed: dict[str, Exception] = {}
    for name in names:
        try:
            keep(run_one(name, quick, machine, progress), place.results)
            sections[name] = place.write_page()[name]
        except Exception as error:
            traceback.print_exc()
            failed[name] = error
            progress.say(f"{name}: FAILED")
    progress.show("")
    if rows := target_rows(list(sections), sections):
        progress.show(plain(TARGETS_HEAD, rows))
    for name, why in failed.items():
        progress.show(f"{name} FAILED: {type(why).__name__}: {why}")
    if quick:
        progress.show("This was the short form: its figures say nothing, and nothing of it is kept.")
    return 1 if failed else 0


def run_one(name: str, quick: bool, machine: Mapping[str, str], progress: "Progress") -> Kept:
    progress.say(f"{name}: begins")
    begin = time.monotonic()
    with TemporaryDirectory(prefix=f"tenuto-{name}-") as work, as_it_was():
        run = Run(quick, Path(work), lambda line: progress.say(f"{name}: {line}"))
        results = load(name).measure(run)
    seconds = time.monotonic() - begin
    progress.say(f"{name}: done in {seconds:.0f} s")
    return Kept(name, f"{datetime.now(UTC):%Y-%m-%d %H:%M}", machine, seconds, results)


@contextmanager
def as_it_was() -> Iterator[None]:
    """What vLLM changes of the process that it runs in, the next benchmark and its servers do not inherit."""
    environment, cores = dict(os.environ), os.sched_getaffinity(0)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        os.sched_setaffinity(0, cores)


def load(name: str) -> Benchmark:
    """The benchmark's module. Imported only now: each takes seconds to import, and none needs another."""
    return import_module(f"{__package__}.{name}")


@contextmanager
def shelf(quick: bool) -> Iterator[Shelf]:
    """The repository; for the short form a folder that is removed afterwards."""
    if quick:
        with TemporaryDirectory(prefix="tenuto-quick-") as folder:
            yield Shelf(Path(folder) / "results", Path(folder) / "docs")
    else:
        yield Shelf(ROOT / "benchmarks/results", ROOT / "docs")


class Progress:
    """Lines with the time since the beginning, on a stream of its own: loads redirect the standard one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begin = time.monotonic()

    def say(self, line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._begin), 60)
        self.show(f"[{minutes:3d}:{seconds:02d}] {line}")

    def show(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="measure little and keep nothing: does everything run?")
    parser.add_argument("--page", action="store_true", help="only write the page, from the results that are kept")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if options.page and (options.names or options.quick):
        parser.error("--page measures nothing; give it alone")
    options.names = list(dict.fromkeys(options.names)) or list(NAMES)
    return options


if __name__ == "__main__":
    sys.exit(main())
