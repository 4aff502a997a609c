"""The processes of a server die with it, however it dies.

vLLM's engine and worker processes end with an orderly exit of the server, and stay behind when it is killed. So each of
them watches the server's process from its first moment, before it imports anything heavy, and ends itself when that
process is gone.
"""

import os
import select
import signal
import threading
import time

#: Environment variable that carries the server's process id to everything that it starts.
SERVER_PID = "TENUTO_SERVER_PID"

_POLL_SECONDS = 0.5


def announce_server() -> None:
    """Make this process the server whose end its descendants must not outlive. Call it before anything is started."""
    os.environ[SERVER_PID] = str(os.getpid())


def die_with_server() -> None:
    """Tie this process to the server that started it, directly or through others.

    It also leaves the server's process group: a Ctrl-C in the terminal reaches the server alone, which can then let
    running replies finish. It stays in the server's session, though: Linux shares out processors among sessions first
    (autogroups), and a process of vLLM's that waits yields to the others of its own session only.
    """
    os.setpgid(0, 0)
    server = int(os.environ[SERVER_PID])
    threading.Thread(target=_end_after, args=(server,), name="lifeline", daemon=True).start()


def _end_after(server: int) -> None:
    try:
        _wait_for_end(server)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def _wait_for_end(pid: int) -> None:
    if hasattr(os, "pidfd_open"):
        handle = os.pidfd_open(pid)  # raises ProcessLookupError when it is gone already
        select.select([handle], [], [])
        return
    while True:  # not Linux
        os.kill(pid, 0)
        time.sleep(_POLL_SECONDS)
