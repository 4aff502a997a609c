"""The servers that are compared: plain vLLM's and Tenuto's, on the same model with the same flags."""

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from tenuto_evaluation.launch import HOST, end_group, free_port, tail

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 900.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class RunningServer:
    """A server that is ready.

    Attributes:
        url: where it listens.
        process: its first process, the API server, which leads the process group.
    """

    url: str
    process: "subprocess.Popen[bytes]"

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


def tenuto(model: Path, *flags: str, checkout: Path | None = None) -> Sequence[str]:
    """The command of `tenuto serve`; of another checkout with its own environment if one is given."""
    python = str(checkout / ".venv/bin/python") if checkout else sys.executable
    return (python, "-m", "tenuto", "serve", str(model), *flags)


def plain_vllm(model: Path, *flags: str) -> Sequence[str]:
    """The command of vLLM's own OpenAI server."""
    module = "vllm.entrypoints.openai.api_server"
    return (sys.executable, "-W", "ignore", "-m", module, "--model", str(model), *flags)


@contextmanager
def serving(
    command: Sequence[str], log: Path, *, folder: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """Run a server's command on a free port until the block is left.

    Raises:
        RuntimeError: with the end of the log, if it does not become ready.
    """
    port = free_port()
    full = [*command, "--host", HOST, "--port", str(port)]
    always = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            full,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
            env={**always, **os.environ, **(environment or {})},
        )
        try:
            url = f"http://{HOST}:{port}"
            path = "/readyz" if "serve" in command else "/health"
            # One client for all: each new one loads certificates, which takes time from the starting servers.
            with httpx.Client(timeout=5) as client:
                while not _answers(client, url + path):
                    if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                        raise RuntimeError(f"the server did not start: {' '.join(full)}\n{tail(log)}")
                    time.sleep(POLL_SECONDS)
            if not _listens(process, port):
                raise RuntimeError(f"another process answers at {url}, which was free before the server's start")
            yield RunningServer(url, process)
        finally:
            end_group(process)


@contextmanager
def serving_together(*servers: AbstractContextManager[RunningServer]) -> Iterator[list[RunningServer]]:
    """Several of `serving`, started at the same time."""
    with ExitStack() as stack:
        with ThreadPoolExecutor(len(servers)) as pool:
            entering = [pool.submit(stack.enter_context, server) for server in servers]
            running = [entered.result() for entered in entering]
        yield running


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Whether this process accepts connections on the port; a server binds long before it listens."""
    try:
        connections = psutil.Process(process.pid).net_connections("tcp")
    except psutil.NoSuchProcess:  # it has ended, perhaps because the port was taken
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in connections)


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.TransportError:
        return False
