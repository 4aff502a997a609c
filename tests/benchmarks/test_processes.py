"""Processor time by kind of process."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import API, private_memory, processor_seconds
from benchmarks.servers import RunningServer

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint(time.process_time(), flush=True)\ninput()"


def test_processor_time_is_that_of_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUSY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        reported = float(process.stdout.readline())
        server = RunningServer("http://127.0.0.1:1", process, tmp_path / "log", time.monotonic())
        assert processor_seconds(server)[API] == pytest.approx(reported, abs=0.05)
        assert private_memory(server)[API] > 1 << 20
        process.kill()
