"""One model on two nodes of a Ray cluster, on this machine: the same tokens as without Ray."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tenuto_evaluation.launch import end_group, free_port
from tenuto_testing.servers import RunningServer, serving

from .test_nodes import BODIES, LOAD_SECONDS, check_replies, check_steering, choice_of

ATTEMPTS = 5
PLATFORM = "ray_cpu_platform"
#: Each has one worker. The memory for objects is the least that Ray takes.
NODE = ("--num-gpus=1", "--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats", "--block")

pytestmark = pytest.mark.ray


@pytest.fixture
def environment(pytestconfig: pytest.Config, tmp_path: Path) -> dict[str, str]:
    """Of everything that uses Ray: it, and the platform as a package that is installed."""
    plugins = tmp_path / "plugins"
    metadata = plugins / "tenuto_ray_platform-0.dist-info"
    metadata.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name(f"{PLATFORM}.py"), plugins)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tenuto-ray-platform\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(f"[vllm.platform_plugins]\nray_cpu = {PLATFORM}:register\n")
    return {
        "PYTHONPATH": f"{pytestconfig.option.ray.resolve()}{os.pathsep}{plugins}",
        "RAY_AUTH_MODE": "disabled",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "0|1",
    }


@contextmanager
def ray_node(environment: dict[str, str], log: Path, *options: str) -> Iterator[None]:
    """A node of a Ray cluster, once it has joined."""
    node = joined(environment, log, options)
    try:
        yield
    finally:
        end_group(node)


def joined(environment: dict[str, str], log: Path, options: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """The process of a node that has joined. On a busy machine one may take longer than the 30 s that Ray grants it."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", *options, *NODE]
    for _ in range(ATTEMPTS):
        with log.open("wb") as output:
            node = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, process_group=0, env={**os.environ, **environment}
            )
        while node.poll() is None:
            if "Ray runtime started" in log.read_text():
                return node
            time.sleep(0.5)
        end_group(node)
    raise AssertionError(log.read_text())


@pytest.fixture
def cluster(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of a cluster of two nodes."""
    port = free_port()
    folder = Path(mkdtemp(prefix="ray-"))  # Ray's sockets are in it, and their paths have to be short
    head = ("--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false")
    try:
        with (
            ray_node(environment, tmp_path / "head", *head),
            ray_node(environment, tmp_path / "other", f"--address=127.0.0.1:{port}"),
        ):
            yield f"127.0.0.1:{port}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_two_nodes_of_ray_write_what_one_writes(cluster: str, environment: dict[str, str], tmp_path: Path) -> None:
    options = ("--tensor-parallel-size", "2", "--distributed-executor-backend", "ray")
    with serving(tmp_path / "alone") as alone:
        alone.wait_until(alone.ready, LOAD_SECONDS)
        expected = [choice_of(alone, body) for body in BODIES]
        with serving(tmp_path / "log", *options, environment=environment | {"RAY_ADDRESS": cluster}) as pair:
            pair.wait_until(pair.ready, LOAD_SECONDS)
            check_replies(pair, expected)
            check_steering(pair, alone)
            check_end(pair)


def check_end(pair: RunningServer) -> None:
    pair.process.send_signal(signal.SIGTERM)
    assert pair.process.wait(60) == 0
