"""The servers that are compared: plain vLLM's and Tenuto's, on the same model with the same flags."""

import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tenuto_evaluation.launch import LaunchedServer, launched

#: Several servers start at once, possibly on a busy machine.
START_SECONDS = 900.0
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}

Command = Sequence[str]


@dataclass(frozen=True)
class RunningServer(LaunchedServer):
    """A server that is ready; its first process is the API server."""

    @property
    def processes(self) -> list[psutil.Process]:
        """The API server, then all processes that it started."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def metrics(self) -> defaultdict[str, float]:
        """Prometheus samples by name, summed over labels."""
        totals: defaultdict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(httpx.get(f"{self.url}/metrics", timeout=30).text):
            for sample in family.samples:
                totals[sample.name] += sample.value
        return totals


def tenuto(model: Path, *flags: str, checkout: Path | None = None) -> Command:
    """The command of `tenuto serve`; with a checkout, the one that is installed in its `.venv`."""
    python = str(checkout / ".venv/bin/python") if checkout else sys.executable
    return (python, "-m", "tenuto", "serve", str(model), *flags)


def plain_vllm(model: Path, *flags: str) -> Command:
    """The command of vLLM's own OpenAI server."""
    module = "vllm.entrypoints.openai.api_server"
    return (sys.executable, "-W", "ignore", "-m", module, "--model", str(model), *flags)


@contextmanager
def serving(
    commands: Mapping[str, Command], logs: Path, environment: Mapping[str, str] | None = None
) -> Iterator[dict[str, RunningServer]]:
    """Run servers by name, all started at the same time, until the block is left; logs are `logs/NAME.log`.

    Raises:
        ServerFailed: with the end of the log, if a server does not become ready.
        RuntimeError: if another process answers in its place.
    """
    common = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(
                launched(command, logs / f"{name}.log", environment={**common, **(environment or {})})
            )
            for name, command in commands.items()
        }
        for name, server in servers.items():
            path = "/readyz" if "serve" in commands[name] else "/health"
            server.wait_until_ready(path, limit=START_SECONDS)
            if not _listens(server):
                raise RuntimeError(f"another process answers at {server.url}, which was free before the server's start")
        yield {name: RunningServer(**vars(server)) for name, server in servers.items()}


def _listens(server: LaunchedServer) -> bool:
    """Whether the server's own process accepts connections on its port; a server binds long before it listens."""
    try:
        connections = psutil.Process(server.process.pid).net_connections("tcp")
    except psutil.NoSuchProcess:  # it has ended, perhaps because the port was taken
        return False
    port = int(server.url.rpartition(":")[2])
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)
