"""Starts a server for a limited time: on a free port, in a process group of its own, ended in every case."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

import httpx

from tenuto_evaluation.errors import ServerFailed

TENUTO_SERVE = (sys.executable, "-m", "tenuto", "serve")
HOST = "127.0.0.1"
POLL_SECONDS = 0.1
START_SECONDS = 600.0
STOP_SECONDS = 30.0
PR_SET_PDEATHSIG = 1
LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class LaunchedServer:
    """A server that was started, not necessarily ready yet.

    Attributes:
        url: where it will listen.
        process: its first process, which leads the process group.
        log: what it and its children print.
        started: when it was started, by `time.monotonic()`.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    started: float

    @property
    def seconds(self) -> float:
        """Time since its start."""
        return time.monotonic() - self.started

    def wait_until_ready(
        self,
        path: str = "/readyz",
        *,
        limit: float = START_SECONDS,
        poll: float = POLL_SECONDS,
        progress: TextIO | None = None,
    ) -> float:
        """Wait until a GET of `path` is answered with status 200. Returns the seconds since the server's start.

        Raises:
            ServerFailed: with the end of the log, if the server ends or is not ready within `limit` seconds.
        """
        # One client for all attempts: each new one loads certificates, which would take CPU time from the server.
        with httpx.Client(timeout=5) as client:
            while not _answers(client, self.url + path):
                if self.process.poll() is not None:
                    raise ServerFailed(f"the server ended with status {self.process.returncode}; {self._log_end()}")
                if self.seconds > limit:
                    raise ServerFailed(f"the server was not ready after {self.seconds:.0f} s; {self._log_end()}")
                if progress is not None and progress.isatty():
                    progress.write(f"starting the server: {self.seconds:.0f} s\r")
                    progress.flush()
                time.sleep(poll)
        return self.seconds

    def tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines of the log."""
        return tail(self.log, lines)

    def _log_end(self) -> str:
        return f"{self.log} ends in\n{self.tail()}"


@contextmanager
def launched(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    stop_seconds: float = STOP_SECONDS,
    port: int | None = None,
) -> Iterator[LaunchedServer]:
    """Start a server command, with `--host` and `--port` added, and end it when the block is left.

    The server leads a new process group, but not a new session: Linux may share processors among sessions (autogroups),
    and an engine that yields while it waits would then delay its clients. The whole group is ended; if this process is
    killed, the system ends the server. Output goes to `log`.

    Args:
        environment: variables in addition to this process's own.
        stop_seconds: how long the group may take to end after SIGTERM, before SIGKILL; with 0 only SIGKILL is sent.
        port: by default a free one.
    """
    port = free_port() if port is None else port
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", HOST, "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=end_with_parent if sys.platform == "linux" else None,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield LaunchedServer(f"http://{HOST}:{port}", process, log, time.monotonic())
    finally:
        end_group(process, stop_seconds)


@contextmanager
def serving(command: Sequence[str], log: Path, progress: TextIO) -> Iterator[str]:
    """A server for the time of an evaluation; gives its URL once it is ready. SIGTERM ends it as Ctrl-C does.

    Raises:
        ServerFailed: with the end of the log, if it does not become ready.
    """
    with exit_on_sigterm(), launched(command, log) as server:
        seconds = server.wait_until_ready(limit=START_SECONDS, progress=progress)
        progress.write(f"the server is ready after {seconds:.0f} s ({server.url}, log: {log})\n")
        progress.flush()
        yield server.url


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def end_group(server: subprocess.Popen[bytes], stop_seconds: float = STOP_SECONDS) -> None:
    """Send SIGTERM to the whole group, and SIGKILL to the rest of it after `stop_seconds` or at a second Ctrl-C."""
    try:
        if stop_seconds:
            signal_group(server, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                server.wait(stop_seconds)
    finally:
        signal_group(server, signal.SIGKILL)
        server.wait()


def signal_group(server: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):  # the group is empty
        os.killpg(server.pid, number)


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """SIGTERM unwinds the stack, as Ctrl-C does, instead of ending the process at once. For the main thread."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.TransportError:
        return False


def end_with_parent() -> None:
    """Linux sends this process SIGTERM when the thread that started it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
