"""Memory and processor time of a server's processes, by kind of process."""

from collections import Counter, defaultdict

import psutil

from .servers import RunningServer

API, ENGINE, WORKER, OTHER = "API server", "engine core", "worker", "other"


def private_memory(server: RunningServer) -> dict[str, int]:
    """Bytes that no other process shares, by kind. Processes that end meanwhile are left out."""
    found = Counter[str]()
    for process in server.processes:
        try:
            found[_kind(process, server)] += process.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return dict(found)


def processor_seconds(server: RunningServer) -> dict[str, float]:
    """Seconds of processor time used so far, by kind; busy waiting counts."""
    found: defaultdict[str, float] = defaultdict(float)
    for process in server.processes:
        try:
            kind, times = _kind(process, server), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        found[kind] += times.user + times.system
    return dict(found)


def _kind(process: psutil.Process, server: RunningServer) -> str:
    if process.pid == server.process.pid:
        return API
    name = process.name()
    return ENGINE if "EngineCore" in name else WORKER if "Worker" in name else OTHER
