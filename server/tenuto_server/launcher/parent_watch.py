"""Ends the processes of a server when the server ends, even if it is killed.

Each engine and worker process watches the server's process, from before it imports anything heavy, and kills itself
when that process is gone, however it ended. Signals that ask a process to end are for the server alone: it lets running
replies finish first.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable

#: Environment variable that passes the server's process id to all its descendants.
SERVER_PID = "TENUTO_SERVER_PID"

_POLL_SECONDS = 0.5

#: The signals that ask a process to end.
_ENDING = {signal.SIGINT, signal.SIGTERM}


def announce_server() -> None:
    """Make this process the one that its descendants watch. Call it before any process is started."""
    os.environ[SERVER_PID] = str(os.getpid())


def die_with_server() -> None:
    """Kill this process when the server ends that started it, directly or through other processes.

    SIGTERM and SIGINT are ignored unless the parent process sends them: Ctrl-C goes to all processes of a terminal, and
    `systemctl stop` sends SIGTERM to all processes of a unit. They are blocked, because vLLM installs handlers later;
    new threads inherit that.

    The process stays in the server's session, because Linux shares processor time out among sessions first
    (autogroups), and a waiting vLLM process yields to the others of its own session only.
    """
    server, parent = int(os.environ[SERVER_PID]), os.getppid()
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        threading.Thread(
            target=_end_when, args=(_wait_for_termination, parent), name="signal-watch", daemon=True
        ).start()
    else:  # not Linux
        os.setpgid(0, 0)  # at least Ctrl-C reaches the server alone
    threading.Thread(target=_end_when, args=(_wait_for_end, server), name="parent-watch", daemon=True).start()


def _end_when(wait: Callable[[int], None], pid: int) -> None:
    try:
        wait(pid)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def _wait_for_termination(parent: int) -> None:
    """Wait until the parent process sends SIGTERM, as multiprocessing does when it ends with children left."""
    while True:
        received = signal.sigwaitinfo(_ENDING)
        if received.si_signo == signal.SIGTERM and received.si_pid == parent:
            return


def _wait_for_end(pid: int) -> None:
    if hasattr(os, "pidfd_open"):
        handle = os.pidfd_open(pid)  # raises ProcessLookupError if the process is gone
        select.select([handle], [], [])
        return
    while True:  # not Linux
        os.kill(pid, 0)
        time.sleep(_POLL_SECONDS)
