"""The servers that are compared: plain vLLM's and ours, on the same model with the same flags."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx
import psutil

from tenuto_evaluation.launch import HOST, end_group, free_port, tail

START_SECONDS = 300.0
POLL_SECONDS = 0.02

#: Each takes a model, `--host`, `--port` and any of vLLM's flags.
TENUTO = (sys.executable, "-m", "tenuto", "serve")
PLAIN_VLLM = (sys.executable, "-W", "ignore", "-m", "vllm.entrypoints.openai.api_server", "--model")


@dataclass(frozen=True)
class RunningServer:
    """A server that is ready.

    Attributes:
        url: where it listens.
        process: its first process, which leads the group.
        start_seconds: from the command until it was ready.
    """

    url: str
    process: "subprocess.Popen[bytes]"
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

    def metrics(self) -> Counter[str]:
        """Prometheus samples by their name, summed over labels."""
        totals: Counter[str] = Counter()
        for line in httpx.get(f"{self.url}/metrics", timeout=30).text.splitlines():
            if not line.startswith("#"):
                sample, _, value = line.rpartition(" ")
                totals[sample.partition("{")[0]] += float(value)  # type: ignore[assignment]
        return totals


@contextmanager
def serving(
    command: Sequence[str],
    model: Path,
    flags: Sequence[str],
    log: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[RunningServer]:
    """Start TENUTO or PLAIN_VLLM on the model and wait until it is ready; in the end nothing of it is left.

    Args:
        environment: what it gets beside our own.

    Raises:
        RuntimeError: with the end of the log, if it does not come up.
    """
    port = free_port()
    full = [*command, str(model), "--host", HOST, "--port", str(port), *flags]
    always = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            full,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**always, **os.environ, **environment},
        )
        try:
            url = f"http://{HOST}:{port}"
            path = "/readyz" if command == TENUTO else "/health"
            while not _answers(url + path):
                if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                    raise RuntimeError(f"the server did not start: {' '.join(full)}\n{tail(log)}")
                time.sleep(POLL_SECONDS)
            yield RunningServer(url, process, time.monotonic() - began)
        finally:
            end_group(process)


@contextmanager
def serving_together(*servers: AbstractContextManager[RunningServer]) -> Iterator[list[RunningServer]]:
    """Several of `serving`, started at the same time: sooner ready, but `start_seconds` say nothing then."""
    with ExitStack() as stack:
        with ThreadPoolExecutor(len(servers)) as pool:
            running = list(pool.map(stack.enter_context, servers))
        yield running


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
