"""Memory and processor time of a server's processes, by what they do."""

from collections import Counter, defaultdict

import psutil

from .servers import RunningServer

API, ENGINE, WORKER, OTHER = "API server", "engine core", "worker", "other"


def memory(server: RunningServer) -> dict[str, dict[str, int]]:
    """Bytes for each kind of process: `private`, which nobody shares, and `share`: those and its part of shared ones.

    Processes that end meanwhile are left out.
    """
    found: dict[str, Counter[str]] = {}
    for process in server.processes:
        try:
            kind, used = _kind(process, server), process.memory_full_info()
        except psutil.NoSuchProcess:
            continue
        found.setdefault(kind, Counter()).update(private=used.uss, share=used.pss)
    return {kind: dict(used) for kind, used in found.items()}


def processor_seconds(server: RunningServer) -> dict[str, float]:
    """Seconds of processor time that each kind of process has taken so far; to wait in a loop is to take some, too."""
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
