"""The servers that are compared: plain vLLM's and ours, on the same model with the same flags."""

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tenuto_evaluation.launch import LaunchedServer, launched

START_SECONDS = 300.0
POLL_SECONDS = 0.02
#: A server ends with the thread that starts it (see `launched`), so these threads run until this process ends.
_STARTING = ThreadPoolExecutor(8, "start-server")

#: Each takes a model, `--host`, `--port` and any of vLLM's flags.
TENUTO = (sys.executable, "-m", "tenuto", "serve")
PLAIN_VLLM = (sys.executable, "-W", "ignore", "-m", "vllm.entrypoints.openai.api_server", "--model")

#: For TENUTO: any number of requests may wait, as with plain vLLM.
UNBOUNDED = ("--max-queued-requests", "-1")


@dataclass(frozen=True)
class RunningServer:
    """A server that is ready.

    Attributes:
        url: where it listens.
        process: its first process, which leads the group.
        start_seconds: from the command until it was ready.
    """

    url: str
    process: subprocess.Popen[bytes]
    start_seconds: float

    @property
    def processes(self) -> list[psutil.Process]:
        """The API server first, then all that it started."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    @property
    def api(self) -> psutil.Process:
        """The process that speaks HTTP."""
        return psutil.Process(self.process.pid)

    def metrics(self) -> defaultdict[str, float]:
        """Prometheus samples by their name, summed over labels."""
        totals: defaultdict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(httpx.get(f"{self.url}/metrics", timeout=30).text):
            for sample in family.samples:
                totals[sample.name] += sample.value
        return totals


@dataclass(frozen=True)
class Start:
    """What a server is started with.

    Attributes:
        command: TENUTO or PLAIN_VLLM.
        model: its folder.
        flags: of both, `--name value`.
        environment: what it gets beside our own.
    """

    command: Sequence[str]
    model: Path
    flags: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def architecture(self) -> str:
        """The model's configuration; our models' weights are a function of it."""
        return (self.model / "config.json").read_text()

    @property
    def options(self) -> set[str]:
        """The flags, each with its values."""
        return {option.strip() for option in " ".join(self.flags).split("--")}

    def covers(self, other: "Start") -> bool:
        """Whether a server started like this has all that another is to have."""
        return (
            self.command == other.command
            and self.architecture == other.architecture
            and other.options <= self.options
            and other.environment.items() <= self.environment.items()
        )


class _Kept:
    """Servers that stay up for those who ask for no more than they have."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._servers: list[tuple[Start, RunningServer]] = []

    def give(self, start: Start, log: Path) -> RunningServer:
        for kept, server in self._servers:
            if kept.covers(start):
                return server
        _ = start.architecture  # read while its folder is there
        server = self._stack.enter_context(_started(start, log))
        self._servers.append((start, server))
        return server


_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)


@contextmanager
def keeping_servers() -> Iterator[None]:
    """Until the end of this, what `serving` starts stays up and is given again: starts are most of the short form."""
    with ExitStack() as stack:
        token = _kept.set(_Kept(stack))
        try:
            yield
        finally:
            _kept.reset(token)


@contextmanager
def serving(
    command: Sequence[str],
    model: Path,
    flags: Sequence[str],
    log: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[RunningServer]:
    """A server of this kind (see `Start`), ready; in the end nothing of it is left, unless it is kept.

    Raises:
        ServerFailed: with the end of the log, if it does not become ready.
    """
    start, kept = Start(command, model, flags, environment), _kept.get()
    if kept is not None:
        yield kept.give(start, log)
        return
    with _started(start, log) as server:
        yield server


@contextmanager
def _started(start: Start, log: Path) -> Iterator[RunningServer]:
    always = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    environment = {name: value for name, value in always.items() if name not in os.environ} | dict(start.environment)
    with launched([*start.command, str(start.model), *start.flags], log, environment=environment) as server:
        path = "/readyz" if start.command == TENUTO else "/health"
        seconds = server.wait_until_ready(path, limit=START_SECONDS, poll=POLL_SECONDS)
        if not _listens(server):
            raise RuntimeError(f"another process answers at {server.url}, which was free before the server's start")
        yield RunningServer(server.url, server.process, seconds)


@contextmanager
def serving_together(*servers: AbstractContextManager[RunningServer]) -> Iterator[list[RunningServer]]:
    """Several of `serving`, started at the same time: sooner ready, but `start_seconds` say nothing then."""
    with ExitStack() as stack:
        entering = [_STARTING.submit(copy_context().run, stack.enter_context, server) for server in servers]
        wait(entering)
        yield [entered.result() for entered in entering]


def _listens(server: LaunchedServer) -> bool:
    """Whether it is this process that takes connections on the port; a server binds long before it listens."""
    try:
        connections = psutil.Process(server.process.pid).net_connections("tcp")
    except psutil.NoSuchProcess:  # it has ended, perhaps because the port was taken
        return False
    port = int(server.url.rpartition(":")[2])
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)
