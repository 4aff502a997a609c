"""A server's processes end with it, even if it is killed while they start."""

import os
import re
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


def blocked(process: psutil.Process) -> set[int]:
    """The signals that the process's first thread blocks."""
    [mask] = re.findall(r"^SigBlk:\s*(\w+)$", Path(f"/proc/{process.pid}/status").read_text(), re.M)
    return {number for number in signal.Signals if int(mask, 16) >> (number - 1) & 1}


def wait_until_watching(process: psutil.Process) -> None:
    deadline = time.monotonic() + 60
    while signal.SIGTERM not in blocked(process):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_ends_the_server_alone(folder: Path, number: signal.Signals) -> None:
    """As Ctrl-C in a terminal and `systemctl stop`: the server decides when its engine ends."""
    server = start(folder)
    child, grandchild = wait_for(server.pid, 2)
    wait_until_watching(grandchild)
    os.kill(server.pid, signal.SIGSTOP)  # it cannot end, so neither must they
    while psutil.Process(server.pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
    os.killpg(server.pid, number)
    for process in (child, grandchild):
        process.send_signal(number)
    time.sleep(0.5)
    assert alive([child, grandchild]) == [child, grandchild]
    server.kill()
    server.wait()
    wait_until_ended([child, grandchild])


def test_a_process_ends_when_its_parent_says_so(tmp_path: Path) -> None:
    """So multiprocessing ends the workers of an engine that has failed, and then waits for them."""
    child = "multiprocessing.get_context('spawn').Process(target=sit, args=(0,), daemon=True).start()"
    main = textwrap.dedent(MAIN).replace("sit(2)", f"{child}; time.sleep(3); sys.exit(7)")
    (tmp_path / "sitter.py").write_text(main)
    server = start(tmp_path)
    assert server.wait(60) == 7


def test_a_handler_that_is_installed_later_is_not_called(tmp_path: Path) -> None:
    """vLLM's engine core installs one, which would abort its replies."""
    script = (
        "import os, signal, time\n"
        "from tenuto_server.launcher.parent_watch import announce_server, die_with_server\n"
        "announce_server(); die_with_server()\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('called', flush=True))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(0.2)\n"
        "print('done')\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "done\n"


def test_all_share_the_servers_session(folder: Path) -> None:
    """Linux shares out processors among sessions first: an engine that waits must yield to its own workers."""
    server = start(folder)
    child, grandchild = wait_for(server.pid, 2)
    wait_until_watching(grandchild)
    assert {os.getsid(process.pid) for process in (child, grandchild)} == {os.getsid(server.pid)}
    server.kill()
    server.wait()
    wait_until_ended([child, grandchild])
