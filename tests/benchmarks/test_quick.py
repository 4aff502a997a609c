"""All benchmarks run, small, as `make bench ARGS=--quick` runs them."""

import re
import subprocess
import sys

from benchmarks.__main__ import NAMES, ROOT

LONGEST_SECONDS = 900


def test_every_benchmark_runs_and_has_its_section() -> None:
    """The page is written after each; figures and targets say nothing here. Nothing is written into the repository."""
    before = changes()
    status, printed = run_all()
    assert status == 0, printed
    assert re.findall(r"^\[ *\d+:\d\d\] (\w+): done in \d+ s$", printed, re.MULTILINE) == list(NAMES), printed
    assert changes() == before


def run_all() -> tuple[int, str]:
    """The exit status, and all that was printed. SIGTERM, when it takes too long, has it end its servers."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks", "--quick"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            printed, _ = process.communicate(timeout=LONGEST_SECONDS)
        finally:
            process.terminate()
        return process.returncode, printed


def changes() -> str:
    """What git sees of the benchmarks' results and page."""
    command = ["git", "status", "--porcelain", "--", "benchmarks/results", "docs"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
