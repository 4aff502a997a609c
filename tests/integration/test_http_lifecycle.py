"""From start to exit: before the model is loaded, during the drain, and on errors."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from tenuto_evaluation import launch
from tenuto_testing.servers import (
    LONG_CONTEXT,
    START_SECONDS,
    STOP_SECONDS,
    RunningServer,
    serving,
    wait_until_ended,
)
from tenuto_testing.unmarked_model import save_unmarked

LOAD = 24  # concurrent requests at the time of the signal
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Add up this bill: soup 9, fish 4"}]}
STREAM = QUESTION | {"stream": True, "stream_interval": 50, "temperature": 1}


def refused(server: RunningServer, reason: str) -> bool:
    """Whether a request gets a 503 with the reason and Retry-After."""
    response = server.chat(**QUESTION)
    if response.status_code != 503:
        return False
    assert reason in response.json()["error"]["message"]
    assert 0 < int(response.headers["retry-after"]) <= 120
    return True


@contextmanager
def streaming(server: RunningServer, **body: Any) -> Iterator[Iterator[str]]:
    """The lines of a stream that has begun."""
    url = f"{server.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=STREAM | body, timeout=START_SECONDS) as response:
        lines = response.iter_lines()
        next(lines)
        yield lines


def endings(lines: Iterator[str]) -> list[dict[str, Any]]:
    """The last chunk of each choice of a stream that ends correctly."""
    data = [line.removeprefix("data: ") for line in lines if line]
    assert data[-1] == "[DONE]"
    choices = [choice for frame in data[:-1] for choice in json.loads(frame)["choices"]]
    return [choice for choice in choices if choice["finish_reason"]]


def test_the_server_answers_before_it_is_ready_and_drains_before_it_exits(tmp_path: Path) -> None:
    """The first signal goes to all processes, as a terminal's or systemd's does: the engine's must ignore it.

    The short reply finishes; the long one is cut by the second signal, and the log shows the difference.
    """
    options = ("--default-max-thinking-tokens", "7", "--drain-timeout", "500")
    with serving(tmp_path / "log", *LONG_CONTEXT, *options) as server:
        server.wait_until(server.listening)
        assert server.get("/readyz").json() == {"status": "loading"}
        assert refused(server, "still loading")
        server.wait_until(server.ready)
        started = server.descendants()

        assert server.chat(**QUESTION).json()["choices"][0]["thinking"]["max_thinking_tokens"] == 7
        assert server.chat(**QUESTION, use_beam_search=True, n=2).json()["error"]["param"] == "use_beam_search"

        with (
            ThreadPoolExecutor(LOAD) as pool,
            streaming(server, min_thinking_tokens=3000, max_tokens=3100) as short,
            streaming(server, min_thinking_tokens=60_000, n=4) as long,
        ):
            load = [pool.submit(server.chat, **QUESTION, min_thinking_tokens=800, max_tokens=900) for _ in range(LOAD)]
            server.wait_until(lambda: server.gauge("vllm:num_requests_running") >= LOAD + 5)
            os.killpg(server.process.pid, signal.SIGTERM)
            for process in started:
                process.terminate()
            server.wait_until(lambda: server.get("/readyz").json() == {"status": "draining"})
            assert server.get("/livez").status_code == 200
            assert refused(server, "shutting down")
            [finished] = endings(short)
            assert finished["finish_reason"] in ("stop", "length")
            assert finished["thinking"]["tokens"] >= 3000
            for reply in load:
                assert reply.result().json()["choices"][0]["thinking"]["tokens"] >= 800
            server.process.send_signal(signal.SIGINT)
            assert {cut["finish_reason"] for cut in endings(long)} == {"abort"}
        assert server.process.wait(STOP_SECONDS) == 0
        wait_until_ended(started, seconds=5)
    log = server.log.read_text()
    assert log.count("POST /v1/chat/completions 200 cut ") == 1
    assert log.count("POST /v1/chat/completions 200 ok ") == 2 + LOAD
    assert log.count("POST /v1/chat/completions 503 rejected ") >= 2


def test_a_signal_while_the_model_loads_ends_the_server_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as server:
        server.wait_until(lambda: server.listening() and bool(server.descendants()))
        started = server.descendants()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(STOP_SECONDS) == 0
        wait_until_ended(started)


def test_an_impossible_default_is_reported_before_the_model_is_loaded(tmp_path: Path) -> None:
    """A default budget for a model whose markers cannot be detected."""
    model = save_unmarked(tmp_path / "model")
    with serving(tmp_path / "log", str(model), "--default-num-waits", "1") as server:
        assert server.process.wait(START_SECONDS) == 2
    said = [line for line in server.tail().splitlines() if line.startswith("tenuto serve: ")]
    assert len(said) == 1
    assert "chat template" in said[0]
    assert "Traceback" not in server.tail()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--max-num-seqs", "0"), "--max-num-seqs: Input should be greater than or equal to 1, not 0"),
        (("--chat-template", "/nowhere.jinja"), "/nowhere.jinja"),
    ],
    ids=["found with the configuration", "found on the command line"],
)
def test_an_option_that_cannot_work_is_one_line_and_status_2(
    options: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    with serving(tmp_path / "log", *options) as server:
        assert server.process.wait(START_SECONDS) == 2
    shown = server.log.read_text()
    [line] = [line for line in shown.splitlines() if line.startswith("tenuto serve: ")]
    assert reason in line
    assert "Traceback" not in shown
    assert "pydantic" not in shown


def test_a_unix_domain_socket_and_a_quick_end(tmp_path: Path) -> None:
    """The command shown at the start works. The server does not wait for its engine's processes, whatever they do."""
    with TemporaryDirectory() as folder:  # a short path: that of a socket is limited
        path = Path(folder) / "socket"
        with serving(tmp_path / "log", "--uds", str(path)) as server:
            server.wait_until(lambda: "Try it" in server.log.read_text())
            command = server.log.read_text().partition("Try it:\n\n")[2]
            reply = subprocess.run(["sh", "-c", command], capture_output=True, timeout=100, check=True)
            assert json.loads(reply.stdout)["choices"][0]["thinking"]["waits"] == 2
            assert f"URL    unix:{path}" in server.log.read_text()
            assert "127.0.0.1" not in server.log.read_text()

            started = server.descendants()
            for process in started:
                process.suspend()
            server.process.terminate()
            assert server.process.wait(10) == 0
            for process in started:
                process.resume()
            wait_until_ended(started)
        assert not path.exists()


def test_a_port_in_use_is_named(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = server.url.rpartition(":")[2]
    monkeypatch.setattr(launch, "free_port", lambda: int(port))
    with serving(tmp_path / "log") as second:
        assert second.process.wait(START_SECONDS) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in second.tail()
    assert "Traceback" not in second.tail()
