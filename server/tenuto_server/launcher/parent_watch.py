"""Ends the processes of a server when the server ends, even if it is killed.

vLLM's engine and worker processes exit when the server shuts down, but keep running when it is killed. So each of them
watches the server's process, from before it imports anything heavy, and kills itself when that process is gone.
"""

import os
import select
import signal
import threading
import time

#: Environment variable that passes the server's process id to all its descendants.
SERVER_PID = "TENUTO_SERVER_PID"

_POLL_SECONDS = 0.5


def announce_server() -> None:
    """Make this process the one that its descendants watch. Call it before any process is started."""
    os.environ[SERVER_PID] = str(os.getpid())


def die_with_server() -> None:
    """Kill this process when the server ends that started it, directly or through other processes.

    The process also leaves the server's process group: Ctrl-C in the terminal reaches the server alone, which can then
    let running replies finish. It stays in the server's session, because Linux shares processor time out among sessions
    first (autogroups), and a waiting vLLM process yields to the others of its own session only.
    """
    os.setpgid(0, 0)
    server = int(os.environ[SERVER_PID])
    threading.Thread(target=_end_after, args=(server,), name="parent-watch", daemon=True).start()


def _end_after(server: int) -> None:
    try:
        _wait_for_end(server)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def _wait_for_end(pid: int) -> None:
    if hasattr(os, "pidfd_open"):
        handle = os.pidfd_open(pid)  # raises ProcessLookupError if the process is gone
        select.select([handle], [], [])
        return
    while True:  # not Linux
        os.kill(pid, 0)
        time.sleep(_POLL_SECONDS)
