"""A server that an evaluation starts is gone when the evaluation is, however that ends. Real processes throughout."""

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

from tenuto_evaluation import launch
from tenuto_evaluation.errors import ServerFailed
from tenuto_evaluation.launch import launched, serving

SERVER = [sys.executable, str(Path(__file__).with_name("small_server.py"))]
SECONDS = 30.0


class Place:
    """A folder with the server's log and the process ids that it wrote down."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "server.log"
        self.pid_file = folder / "pids"

    def command(self, *options: str) -> list[str]:
        return [*SERVER, str(self.pid_file), *options]

    def pids(self) -> list[int]:
        return [int(part) for part in self.pid_file.read_text().split()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not yet waited for does not."""
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


def test_the_server_is_ready_inside_and_gone_outside(place: Place) -> None:
    progress = io.StringIO()
    with serving(place.command(), place.log, progress) as url:
        assert httpx.get(f"{url}/readyz").status_code == 200
        assert all(map(alive, place.pids()))
    assert eventually(lambda: not any(map(alive, place.pids())))
    assert url in progress.getvalue()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_inside_ends_it_too(place: Place, error: type[BaseException]) -> None:
    with pytest.raises(error), serving(place.command(), place.log, io.StringIO()):
        raise error
    assert eventually(lambda: not any(map(alive, place.pids())))


def test_a_server_that_ignores_sigterm_is_killed_with_its_children(place: Place) -> None:
    with launched(place.command("--stubborn"), place.log, stop_seconds=0.2) as server:
        server.wait_until_ready()
    assert eventually(lambda: not any(map(alive, place.pids())))


def test_a_server_that_fails_is_an_error_with_its_last_words(place: Place) -> None:
    with (
        pytest.raises(ServerFailed, match=r"status 1(.|\n)*no model there"),
        serving(place.command("--fail"), place.log, io.StringIO()),
    ):
        pass


def test_a_server_that_never_gets_ready_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "START_SECONDS", 1.0)
    with (
        pytest.raises(ServerFailed, match="not ready after"),
        serving(place.command("--never-ready"), place.log, io.StringIO()),
    ):
        pass
    assert eventually(lambda: not any(map(alive, place.pids())))


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
def test_the_server_does_not_outlive_the_evaluation(place: Place, number: int, status: int) -> None:
    command = [sys.executable, "-c", EVALUATION, str(place.log), *place.command()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as evaluation:
        assert evaluation.stdout is not None
        assert evaluation.stdout.readline() == b"ready\n"
        server, child = place.pids()
        os.kill(evaluation.pid, number)
        try:
            assert evaluation.wait(SECONDS) == status
        finally:
            evaluation.kill()  # or leaving the block would wait for it
    assert eventually(lambda: not alive(server))
    if number != signal.SIGKILL:  # then nobody is left to end the group: the server itself has to end its children
        assert eventually(lambda: not alive(child))
    else:
        os.kill(child, signal.SIGKILL)


def test_the_handler_of_sigterm_is_put_back(place: Place) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with serving(place.command(), place.log, io.StringIO()):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
