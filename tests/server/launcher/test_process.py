"""The server's process before it listens."""

import os
import signal
import subprocess
import time
from pathlib import Path

from tenuto_evaluation.launch import TENUTO_SERVE


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for the signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_sigterm_while_the_engine_is_imported_ends_the_server(tmp_path: Path) -> None:
    """`docker stop` waited for the whole grace period: Linux discards signals without a handler for process 1."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen([*TENUTO_SERVE, "--port", "0"], env=environment)
    try:
        deadline = time.monotonic() + 60
        while not handles(process.pid, signal.SIGTERM):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
    assert list(tmp_path.iterdir()) == [], "the log file, which has nothing to show, is still there"
