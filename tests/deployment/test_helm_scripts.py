"""The script that the pods of a group run, against an HTTP server that ends.

The other script, the chat of `helm test`, meets a real `tenuto serve` in tests/integration/test_chart_chat.py.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .chart import FOLDER

SCRIPT = (FOLDER / "files/scripts/group.py").read_text()


class Live(BaseHTTPRequestHandler):
    """Answers as the server's /livez does."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 404)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


@contextmanager
def leader() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Live) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def run(*arguments: str, name: str = "127.0.0.1") -> "subprocess.Popen[str]":
    """The script as the pod runs it."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=os.environ | {"LWS_LEADER_ADDRESS": name},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_worker_lives_for_as_long_as_its_leader_answers() -> None:
    with leader() as server, run("outlive", "60", str(server.server_port)) as worker:
        time.sleep(2.5)  # four questions
        assert worker.poll() is None
        server.shutdown()
        server.server_close()
        assert worker.wait(timeout=20) == 0


def test_a_worker_does_not_outlive_a_leader_for_longer_than_its_time() -> None:
    with leader() as server, run("outlive", "1", str(server.server_port)) as worker:
        begin = time.monotonic()
        assert worker.wait(timeout=20) == 0
        assert time.monotonic() - begin > 0.9


def test_a_leader_is_found_once_its_name_resolves() -> None:
    with run("find", "5", name="localhost") as worker:
        assert worker.wait(timeout=20) == 0


def test_a_leader_that_is_not_found_is_named() -> None:
    with run("find", "1", name="large-0.large.invalid") as worker:
        assert worker.wait(timeout=20) == 1
        assert worker.stderr is not None
        assert "leader, large-0.large.invalid, did not resolve within 1 s" in worker.stderr.read()
