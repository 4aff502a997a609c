"""A server's processes end with it, even if it is killed while they start."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tenuto_testing.servers import alive, wait_until_ended

# Spawns a child that spawns a child, as the server, its engine and the engine's workers do; all just sit there.
MAIN = """
    import multiprocessing, os, sys, time
    from tenuto_server.launcher.parent_watch import announce_server, die_with_server

    def sit(depth):
        if depth:
            multiprocessing.get_context("spawn").Process(target=sit, args=(depth - 1,)).start()
        time.sleep(600)

    if __name__ == "__mp_main__":
        die_with_server()
    elif __name__ == "__main__":
        announce_server()
        sit(2)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sitter.py").write_text(textwrap.dedent(MAIN))
    return tmp_path


def start(folder: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.Popen([sys.executable, "-m", "sitter"], env=environment, start_new_session=True)


def spawned(server: int) -> list[psutil.Process]:
    """Its children and theirs, less multiprocessing's own helper, which ends with the last of them."""
    found = psutil.Process(server).children(recursive=True)
    return [process for process in found if "resource_tracker" not in " ".join(process.cmdline())]


def wait_for(server: int, count: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 60
    while len(found := spawned(server)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("count", [1, 2], ids=["while they start", "when they run"])
def test_killing_the_server_ends_children_and_grandchildren(folder: Path, count: int) -> None:
    server = start(folder)
    processes = wait_for(server.pid, count)
    server.kill()
    server.wait()
    wait_until_ended(processes)


def test_a_signal_to_the_servers_group_reaches_the_server_alone(folder: Path) -> None:
    """As Ctrl-C in a terminal: the server decides when its engine ends."""
    server = start(folder)
    child, grandchild = wait_for(server.pid, 2)
    deadline = time.monotonic() + 60
    while os.getpgid(grandchild.pid) != grandchild.pid:  # it has come as far as its lifeline
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(server.pid, signal.SIGSTOP)  # it cannot end, so neither must they
    os.killpg(server.pid, signal.SIGINT)
    time.sleep(0.5)
    assert alive([child, grandchild]) == [child, grandchild]
    server.kill()
    server.wait()
    wait_until_ended([child, grandchild])


def test_all_share_the_servers_session(folder: Path) -> None:
    """Linux shares out processors among sessions first: an engine that waits must yield to its own workers."""
    server = start(folder)
    child, grandchild = wait_for(server.pid, 2)
    deadline = time.monotonic() + 60
    while os.getpgid(grandchild.pid) != grandchild.pid:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert {os.getsid(process.pid) for process in (child, grandchild)} == {os.getsid(server.pid)}
    server.kill()
    server.wait()
    wait_until_ended([child, grandchild])
