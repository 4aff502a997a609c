"""The server that is measured is the one that was started."""

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from benchmarks.servers import serving
from tenuto_evaluation import launch


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port at which another process answers every health check."""
    with HTTPServer(("127.0.0.1", 0), Healthy) as other:
        answering = threading.Thread(target=other.serve_forever)
        answering.start()
        yield other.server_port
        other.shutdown()
        answering.join()


def test_another_process_at_the_port_is_not_taken_for_the_server(
    tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "free_port", lambda: taken_port)
    loading = (sys.executable, "-c", "import time; time.sleep(60)")
    with (
        pytest.raises(RuntimeError, match=f"another process answers at http://127.0.0.1:{taken_port}"),
        serving({"loading": loading}, tmp_path),
    ):
        pass
