"""A real `tenuto serve` in a process group of its own, for as long as a test needs it."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

START_SECONDS = 300.0
STOP_SECONDS = 60.0
MODEL_FOLDER = Path(__file__).parents[2] / "server/tenuto_server/s1_tiny"
MODEL = "s1-tiny"
#: The context that httpx makes for each request by itself loads certificates, which takes longer than most replies.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
#: Room for replies of the built-in model that are still running when a test is done with them, on any machine.
LONG_CONTEXT = ("--hf-overrides", '{"max_position_embeddings": 65536}')


@dataclass(frozen=True)
class RunningServer:
    """A started server, not necessarily ready yet.

    Attributes:
        url: where it listens.
        process: `tenuto serve` itself; it leads its process group.
        log: what it and its children print.
    """

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30, verify=NO_TLS)

    def post(self, path: str, **body: object) -> httpx.Response:
        """POST a body as it stands; Python's NaN becomes the literal that JSON does not know."""
        headers = {"Content-Type": "application/json"}
        return httpx.post(
            self.url + path, content=json.dumps(body), headers=headers, timeout=START_SECONDS, verify=NO_TLS
        )

    def chat(self, **body: object) -> httpx.Response:
        return self.post("/v1/chat/completions", **body)

    def listening(self) -> bool:
        return self._says_yes("/livez")

    def ready(self) -> bool:
        return self._says_yes("/readyz")

    def _says_yes(self, path: str) -> bool:
        try:
            return self.get(path).status_code == 200
        except httpx.TransportError:
            return False

    def wait_until(self, condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Wait for a condition; fails at once when the server ends, which is never waited for with this."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.tail()}"
            assert time.monotonic() < deadline, f"not within {seconds} s:\n{self.tail()}"
            time.sleep(0.1)

    def gauge(self, name: str) -> float:
        """Sum of the samples of one metric."""
        samples = [
            line for line in self.get("/metrics").text.splitlines() if line.startswith((f"{name}{{", f"{name} "))
        ]
        assert samples, f"no metric {name}"
        return sum(float(line.rpartition(" ")[2]) for line in samples)

    def descendants(self) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def tail(self, characters: int = 6000) -> str:
        return self.log.read_text(errors="replace")[-characters:]

    def leave(self, body: bytes, until: Callable[[], bool], *, missing: int = 0, key: str = "") -> None:
        """Post a chat completion, its last bytes missing if so wished, and close the connection once it is time."""
        host, port = self.url.removeprefix("http://").split(":")
        lines = ["POST /v1/chat/completions HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
        lines += [f"X-Api-Key: {key}", f"Content-Length: {len(body)}", "", ""]
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall("\r\n".join(lines).encode() + body[: len(body) - missing])
            self.wait_until(until, seconds=20)


@contextmanager
def serving(log: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[RunningServer]:
    """Start `tenuto serve` with the built-in model on a free port; in the end, nothing of it is left running."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "tenuto", "serve", "--port", str(port), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield RunningServer(f"http://127.0.0.1:{port}", process, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; what has ended and was not yet waited for by anybody counts as ended."""
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def wait_until_ended(processes: list[psutil.Process], seconds: float = STOP_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while alive(processes):
        assert time.monotonic() < deadline, f"still running: {alive(processes)}"
        time.sleep(0.1)
