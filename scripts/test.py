"""Run the test suite in parts, three pytest processes at a time, so that two cores have work.

    python -m scripts.test [pytest's arguments]

Each part is a lane of tests/conftest.py. While a lane runs, its progress is printed line by line; when it has ended,
its report. The exit status is 0 if tests ran and all passed, and pytest's own otherwise.
"""

import asyncio
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: In the order in which they start: the longest first, the shortest last.
LANES = ("server", "processes", "engine", "fleet", "interpreter", "unit", "http", "training")
#: One more than cores: tests of servers often wait, and two at a time left a third of two cores idle.
AT_ONCE = 3
#: A lane has one core; servers choose their own number of threads. Triton decides at import whether it interprets.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
ENVIRONMENT = {
    **dict.fromkeys(("unit", "http", "training", "engine"), ONE_THREAD),
    "interpreter": {"TRITON_INTERPRET": "1", **ONE_THREAD},
}
STOP_SECONDS = 60.0
PASSED, NOTHING_RAN = 0, 5

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)")


@dataclass
class Lane:
    """One pytest process, and what it printed after its progress."""

    name: str
    arguments: Sequence[str]
    status: int = PASSED
    seconds: float = 0.0
    report: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """Tests by outcome, from the last line of the report."""
        found = _COUNT.findall(_STYLE.sub("", self.report[-1])) if self.report else []
        return Counter({outcome.rstrip("s"): int(number) for number, outcome in found})

    async def run(self) -> None:
        begin = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", "--no-header", f"--lane={self.name}"),
            *(["--color=yes"] if sys.stdout.isatty() else []),
            *self.arguments,
            cwd=ROOT,
            env=_environment(self.name),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            process_group=0,
            limit=1 << 24,
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                self._take(line.decode(errors="replace").rstrip("\n"))
            self.status = await process.wait()
        finally:
            await _end(process)
        self.seconds = time.monotonic() - begin
        if self.status != NOTHING_RAN:
            print(f"\n{self.name}: {self.seconds:.0f} s\n", *self.report, sep="\n", flush=True)

    def _take(self, line: str) -> None:
        """Print progress; keep the report, which begins with the first ruled heading after the session's own."""
        heading = _STYLE.sub("", line).startswith("===")
        if self.report or (heading and "test session starts" not in line):
            self.report.append(line)
        elif line and not heading:
            print(f"{self.name:<11} | {line}", flush=True)


def _environment(lane: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return own | ENVIRONMENT.get(lane, {})


async def _end(process: asyncio.subprocess.Process) -> None:
    """Interrupt a process that still runs, so that it ends what it has started; kill its group if it does not."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_SECONDS)


async def run_all(lanes: Sequence[Lane]) -> None:
    free = asyncio.Semaphore(AT_ONCE)

    async def run(lane: Lane) -> None:
        async with free:
            await lane.run()

    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    async with asyncio.TaskGroup() as tasks:
        for lane in lanes:
            tasks.create_task(run(lane))


def exit_status(lanes: Sequence[Lane]) -> int:
    """That of the first lane that failed; a lane may be empty, but not all of them."""
    failed = [lane.status for lane in lanes if lane.status not in (PASSED, NOTHING_RAN)]
    if failed:
        return failed[0]
    return NOTHING_RAN if all(lane.status == NOTHING_RAN for lane in lanes) else PASSED


def summary(lanes: Sequence[Lane], seconds: float) -> str:
    """One line per lane that ran tests or failed, and one for all."""
    total = sum((lane.counts for lane in lanes), Counter[str]())
    shown = [lane for lane in lanes if lane.status != NOTHING_RAN]
    lines = [f"{lane.name:<11} | {_in_words(lane.counts)} in {lane.seconds:.0f} s: {_verdict(lane)}" for lane in shown]
    return "\n".join([*lines, f"{_in_words(total)} in {seconds // 60:.0f} min {seconds % 60:.0f} s"])


def _verdict(lane: Lane) -> str:
    return "ok" if lane.status == PASSED else f"FAILED with status {lane.status}"


def _in_words(counts: Counter[str]) -> str:
    outcomes = ["passed", "failed", *sorted(counts.keys() - {"passed", "failed"})]
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in outcomes)


def main() -> int:
    begin = time.monotonic()
    lanes = [Lane(name, sys.argv[1:]) for name in LANES]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in background jobs
    try:
        asyncio.run(run_all(lanes))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\ninterrupted", file=sys.stderr)
        return 130
    print(summary(lanes, time.monotonic() - begin))
    return exit_status(lanes)


if __name__ == "__main__":
    sys.exit(main())
