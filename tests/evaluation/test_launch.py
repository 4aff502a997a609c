"""A launched server ends with the process that launched it, however that ends. With real processes throughout."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

import tenuto_evaluation.launch
from tenuto_evaluation.errors import ServerFailed
from tenuto_evaluation.launch import launched, serving

SERVER = [sys.executable, str(Path(__file__).with_name("small_server.py"))]
SECONDS = 30.0


class Launch:
    """A server command, with its log and a file in which the server writes its process ids."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "server.log"
        self.pid_file = folder / "pids"

    def command(self, *options: str) -> list[str]:
        return [*SERVER, str(self.pid_file), *options]

    def pids(self) -> list[int]:
        return [int(part) for part in self.pid_file.read_text().split()]


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch(tmp_path)


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_the_server_is_ready_inside_the_block_and_ended_after_it(launch: Launch) -> None:
    progress = io.StringIO()
    with serving(launch.command(), launch.log, progress) as url:
        assert httpx.get(f"{url}/readyz").status_code == 200
        assert all(map(alive, launch.pids()))
    assert eventually(lambda: not any(map(alive, launch.pids())))
    assert url in progress.getvalue()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_inside_the_block_ends_the_server(launch: Launch, error: type[BaseException]) -> None:
    with pytest.raises(error), serving(launch.command(), launch.log, io.StringIO()):
        raise error
    assert eventually(lambda: not any(map(alive, launch.pids())))


def test_a_server_that_ignores_sigterm_is_killed_with_its_children(launch: Launch) -> None:
    with launched(launch.command("--stubborn"), launch.log, stop_seconds=0.2) as server:
        server.wait_until_ready()
    assert eventually(lambda: not any(map(alive, launch.pids())))


def test_a_server_that_fails_is_an_error_with_the_end_of_its_log(launch: Launch) -> None:
    with (
        pytest.raises(ServerFailed, match=r"status 1(.|\n)*no model there"),
        serving(launch.command("--fail"), launch.log, io.StringIO()),
    ):
        pass


def test_a_server_that_is_never_ready_is_an_error(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenuto_evaluation.launch, "START_SECONDS", 1.0)
    with (
        pytest.raises(ServerFailed, match="not ready after"),
        serving(launch.command("--never-ready"), launch.log, io.StringIO()),
    ):
        pass
    assert eventually(lambda: not any(map(alive, launch.pids())))


EVALUATION = """
import sys, time
from pathlib import Path
from tenuto_evaluation.launch import serving
with serving(sys.argv[2:], Path(sys.argv[1]), sys.stderr):
    print("ready", flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_the_server_does_not_outlive_the_evaluation(launch: Launch, number: int, status: int) -> None:
    command = [sys.executable, "-c", EVALUATION, str(launch.log), *launch.command()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as evaluation:
        assert evaluation.stdout is not None
        assert evaluation.stdout.readline() == b"ready\n"
        server, child = launch.pids()
        os.kill(evaluation.pid, number)
        try:
            assert evaluation.wait(SECONDS) == status
        finally:
            evaluation.kill()  # otherwise leaving the block would wait for it
    assert eventually(lambda: not alive(server))
    if number == signal.SIGKILL:  # no process is left to end the group: a real server ends its own children
        os.kill(child, signal.SIGKILL)
    else:
        assert eventually(lambda: not alive(child))


def test_the_sigterm_handler_is_restored(launch: Launch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with serving(launch.command(), launch.log, io.StringIO()):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
