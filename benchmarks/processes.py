"""Memory and processor time of a server's processes, by kind of process."""

from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

import psutil

from .servers import RunningServer

API, ENGINE, WORKER, OTHER = "API server", "engine core", "worker", "other"


def private_memory(server: RunningServer) -> dict[str, int]:
    """Bytes that no other process shares, by kind. Processes that end meanwhile are left out."""
    found = Counter[str]()
    for process in server.processes:
        with suppress(psutil.NoSuchProcess):
            found[_kind(process, server)] += process.memory_full_info().uss
    return dict(found)


def processor_seconds(server: RunningServer) -> dict[str, float]:
    """Seconds of processor time used so far, by kind; busy waiting counts. Threads that have ended are left out.

    Linux accounts for each thread in nanoseconds in `schedstat`, for processes as a whole only in ticks of 10 ms.
    """
    found: defaultdict[str, float] = defaultdict(float)
    for process in server.processes:
        with suppress(psutil.NoSuchProcess):
            kind = _kind(process, server)
            for thread in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
                with suppress(OSError):
                    found[kind] += int(thread.read_text().split()[0]) / 1e9
    return dict(found)


def _kind(process: psutil.Process, server: RunningServer) -> str:
    if process.pid == server.process.pid:
        return API
    name = process.name()
    return ENGINE if "EngineCore" in name else WORKER if "Worker" in name else OTHER
