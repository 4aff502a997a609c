"""All benchmarks run, small, as `make bench ARGS=--quick` runs them."""

import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.__main__ import NAMES, ROOT

LONGEST_SECONDS = 900


#: They start no servers, so they run beside the others: nothing is measured here.
WITHOUT_SERVERS = ("builtin_budget", "fidelity")


def test_every_benchmark_runs_and_has_its_section() -> None:
    """The page is written after each; figures and targets say nothing here. Nothing is written into the repository."""
    before = changes()
    shares = WITHOUT_SERVERS, tuple(name for name in NAMES if name not in WITHOUT_SERVERS)
    with ThreadPoolExecutor(len(shares)) as pool:
        for share, (status, printed) in zip(shares, pool.map(run, shares), strict=True):
            assert status == 0, printed
            assert re.findall(r"^\[ *\d+:\d\d\] (\w+): done in \d+ s$", printed, re.MULTILINE) == list(share), printed
    assert changes() == before


def run(names: Sequence[str]) -> tuple[int, str]:
    """The exit status, and all that was printed. SIGTERM, when it takes too long, has it end its servers."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks", "--quick", *names]
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
