"""A server of our own for the time of an evaluation: started, waited for, and ended in every case."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

import tenuto
from tenuto_evaluation.errors import ServerFailed

TENUTO_SERVE = (sys.executable, "-m", "tenuto", "serve")
HOST = "127.0.0.1"
POLL_SECONDS = 0.5
START_SECONDS = 600.0
STOP_SECONDS = 30.0
PR_SET_PDEATHSIG = 1
LOG_TAIL_LINES = 20


@contextmanager
def serving(command: Sequence[str], log: Path, progress: TextIO) -> Iterator[str]:
    """Run a server command, with `--host` and `--port` added, on a free port; gives its URL once it is ready.

    The server is a process group of its own, but not a session: Linux may share out processors among sessions
    (autogroups), and then an engine that waits by yielding keeps those who ask it waiting. The group is ended when the
    block is left, also by Ctrl-C or SIGTERM; if this process is killed outright, the system ends the server. Its output
    goes to `log`, whose end is part of the error where it does not come up.
    """
    port = free_port()
    with exit_on_sigterm(), log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--host", HOST, "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        try:
            url = f"http://{HOST}:{port}"
            wait_until_ready(url, server, log, progress)
            yield url
        finally:
            end_group(server)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path, progress: TextIO) -> None:
    """Returns when /readyz says so. Raises ServerFailed with the end of the log if that does not come to pass."""
    begin = time.monotonic()
    with tenuto.Client(url) as client:
        while not client.ready():
            seconds = time.monotonic() - begin
            if server.poll() is not None:
                raise ServerFailed(f"the server ended with status {server.returncode}; {log} ends in\n{tail(log)}")
            if seconds > START_SECONDS:
                raise ServerFailed(f"the server was not ready after {seconds:.0f} s; {log} ends in\n{tail(log)}")
            if progress.isatty():
                progress.write(f"starting the server: {seconds:.0f} s\r")
                progress.flush()
            time.sleep(POLL_SECONDS)
    progress.write(f"the server is ready after {time.monotonic() - begin:.0f} s ({url}, log: {log})\n")
    progress.flush()


def tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


def end_group(server: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the whole group, and SIGKILL to what is left of it after a while or at a second Ctrl-C."""
    try:
        signal_group(server, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
    finally:
        signal_group(server, signal.SIGKILL)
        server.wait()


def signal_group(server: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):  # nobody is left
        os.killpg(server.pid, number)


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """SIGTERM unwinds the stack, as Ctrl-C does, instead of ending the process where it stands."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
