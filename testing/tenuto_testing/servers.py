"""A real `tenuto serve` for as long as a test needs it, and requests to it."""

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tenuto_evaluation.launch import TENUTO_SERVE, LaunchedServer, launched

START_SECONDS = 300.0
STOP_SECONDS = 60.0
MODEL_FOLDER = Path(__file__).parents[2] / "server/tenuto_server/s1_tiny"
MODEL = "s1-tiny"
#: By default httpx makes a TLS context for each request, which takes longer than most replies: it loads certificates.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
#: Lets replies of the built-in model run longer than any test that needs a running reply, on any machine.
LONG_CONTEXT = ("--hf-overrides", '{"max_position_embeddings": 65536}')


@dataclass(frozen=True)
class RunningServer(LaunchedServer):
    """A started server, not necessarily ready yet, and requests to it."""

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30, verify=NO_TLS)

    def post(self, path: str, **body: object) -> httpx.Response:
        """POST a body unchanged; Python's NaN becomes the literal `NaN`, which is not valid JSON."""
        headers = {"Content-Type": "application/json"}
        return httpx.post(
            self.url + path, content=json.dumps(body), headers=headers, timeout=START_SECONDS, verify=NO_TLS
        )

    def chat(self, **body: object) -> httpx.Response:
        return self.post("/v1/chat/completions", **body)

    def listening(self) -> bool:
        return self._succeeds("/livez")

    def ready(self) -> bool:
        return self._succeeds("/readyz")

    def _succeeds(self, path: str) -> bool:
        try:
            return self.get(path).status_code == 200
        except httpx.TransportError:
            return False

    def wait_until(self, condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Wait for a condition. Fails at once if the server ends."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.tail()}"
            assert time.monotonic() < deadline, f"not within {seconds} s:\n{self.tail()}"
            time.sleep(0.1)

    def gauge(self, name: str) -> float:
        """The sum of the samples of one metric."""
        samples = [
            line for line in self.get("/metrics").text.splitlines() if line.startswith((f"{name}{{", f"{name} "))
        ]
        assert samples, f"no metric {name}"
        return sum(float(line.rpartition(" ")[2]) for line in samples)

    def descendants(self) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def disconnect(self, body: bytes, when: Callable[[], bool], *, missing: int = 0, key: str = "") -> None:
        """Post a chat completion without its last `missing` bytes, and close the connection once `when` holds."""
        host, port = self.url.removeprefix("http://").split(":")
        lines = ["POST /v1/chat/completions HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
        lines += [f"X-Api-Key: {key}", f"Content-Length: {len(body)}", "", ""]
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall("\r\n".join(lines).encode() + body[: len(body) - missing])
            self.wait_until(when, seconds=20)


@contextmanager
def serving(
    log: Path, *options: str, environment: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[RunningServer]:
    """Start `tenuto serve`, by default with the built-in model and on a free port; at the end, kill its whole group."""
    with launched([*TENUTO_SERVE, *options], log, environment=environment, stop_seconds=0, port=port) as server:
        yield RunningServer(server.url, server.process, server.log, server.started)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """The processes that still run; one that has ended but was not waited for counts as ended."""
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def wait_until_ended(processes: list[psutil.Process], seconds: float = STOP_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while alive(processes):
        assert time.monotonic() < deadline, f"still running: {alive(processes)}"
        time.sleep(0.1)
