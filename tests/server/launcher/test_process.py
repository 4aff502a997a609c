"""The server's process before it listens."""

import os
import signal
import subprocess
import sys
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


def test_a_start_without_a_temporary_directory_says_what_to_do() -> None:
    """As in a container with a read-only file system and no mount at /tmp."""
    start = "import runpy, tempfile; tempfile.tempdir = '/nowhere'; "
    start += "runpy.run_module('tenuto_server.launcher.process', run_name='__main__')"
    result = subprocess.run([sys.executable, "-P", "-c", start], capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "mount one at /tmp, or set TMPDIR" in result.stderr
    assert "Traceback" not in result.stderr
