"""How a server ends: the exit status, and what it logs."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenuto_server.config.command_line import parse_command_line
from tenuto_server.errors import StartupError
from tenuto_server.launcher import server as lifecycle
from tenuto_server.launcher.exit_status import FAILED, OK
from tenuto_server.launcher.listener import Listener
from tenuto_server.launcher.output import ServerOutput
from tenuto_server.launcher.server import Server
from tenuto_server.middleware.api_keys import KeyRing


class Output(ServerOutput):
    """Shows nothing."""

    def __init__(self) -> None:
        pass

    def attach(self, args: Any) -> None:
        pass

    def close(self) -> None:
        pass


class Engine:
    """The part of an engine that an idle server uses."""

    errored = False

    async def do_log_stats(self) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener


def make_server(listener: socket.socket, *argv: str) -> Server:
    config, args = parse_command_line(["some/model", *argv])
    return Server(config, args, KeyRing(()), Listener(listener, "http://127.0.0.1", "curl"), Output())


async def forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise OSError("no more of this")


@pytest.fixture
def server(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(lifecycle, "_WATCH_SECONDS", 0.01)
    return make_server(listener)


@pytest.mark.parametrize(("dies", "status"), [(False, OK), (True, FAILED)])
async def test_an_engine_that_dies_during_the_drain_is_a_failure(server: Server, dies: bool, status: int) -> None:
    engine: Any = Engine()
    http = asyncio.create_task(forever())
    server.state.begin()
    server.on_signal()
    working = asyncio.create_task(server.work(engine, http))
    await asyncio.sleep(0.05)
    assert not working.done()
    engine.errored = dies
    server.state.end()
    assert await asyncio.wait_for(working, 10) == status
    http.cancel()


async def test_a_server_that_serves_nothing_ends(server: Server) -> None:
    """Otherwise it would keep its model loaded although no client could reach it."""
    engine: Any = Engine()
    http = asyncio.create_task(fail())
    assert await asyncio.wait_for(server.work(engine, http), 10) == FAILED


def test_certificates_that_cannot_be_used_end_the_start(listener: socket.socket, tmp_path: Path) -> None:
    file = tmp_path / "certificate.pem"
    file.write_text("no certificate")
    with pytest.raises(StartupError, match="--ssl-certfile, --ssl-keyfile"):
        make_server(listener, "--ssl-certfile", str(file))


def test_a_server_that_cannot_listen_does_not_wait_for_its_model() -> None:
    """In a process of its own, as that is what ends: the socket is closed before the server takes it."""
    script = (
        "import asyncio, socket, sys, threading\n"
        "from tenuto_server.launcher import server\n"
        "from tenuto_server.config.command_line import parse_command_line\n"
        "from tenuto_server.middleware.api_keys import KeyRing\n"
        "server.start_engine = lambda *_: threading.Event().wait()\n"
        "from tenuto_server.launcher.output import ServerOutput\n"
        "from tenuto_server.launcher.progress import LoadProgress\n"
        "from tenuto_server.launcher.terminal import ServerTerminal\n"
        "terminal = ServerTerminal(); terminal.capture_errors(); progress = LoadProgress(terminal, '')\n"
        "from tenuto_server.launcher.listener import Listener\n"
        "closed = socket.socket(); closed.close()\n"
        "listener = Listener(closed, 'http://127.0.0.1', 'curl')\n"
        "config, args = parse_command_line(['some/model'])\n"
        "output = ServerOutput(terminal, progress, config, args)\n"
        "server.configure_logging_from_args(args)\n"
        "asyncio.run(server.Server(config, args, KeyRing(()), listener, output).run())\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == FAILED
    assert "The HTTP server has ended" in run.stdout + run.stderr
    assert "Bad file descriptor" in run.stdout + run.stderr
