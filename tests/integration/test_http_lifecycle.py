"""From the first moment to the last: before the model is loaded, during the drain, and after a sudden death."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx

from tests.integration.running_server import STOP_SECONDS, RunningServer, serving, wait_until_ended

QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Add up this bill: soup 9, fish 4"}]}


def refused(server: RunningServer, reason: str) -> bool:
    """Whether a request gets a 503 that says why and when to come back."""
    response = server.chat(**QUESTION)
    if response.status_code != 503:
        return False
    assert reason in response.json()["error"]["message"]
    assert 0 < int(response.headers["retry-after"]) <= 120
    return True


def test_it_answers_before_it_is_ready_and_finishes_what_runs_before_it_ends(tmp_path: Path) -> None:
    """The signal goes to the whole process group, as a terminal's does: the engine must not take it for its own."""
    with serving(tmp_path / "log", "--drain-timeout", "100") as server:
        server.wait_until(server.listening)
        assert server.get("/readyz").json() == {"status": "loading"}
        assert refused(server, "still being loaded")
        server.wait_until(server.ready)

        started = server.descendants()
        body = QUESTION | {"stream": True, "min_thinking_tokens": 1500, "max_tokens": 2000, "stream_interval": 50}
        with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=100) as stream:
            frames = stream.iter_lines()
            next(frames)
            os.killpg(server.process.pid, signal.SIGTERM)
            server.wait_until(lambda: server.get("/readyz").json() == {"status": "draining"})
            assert server.get("/livez").status_code == 200
            assert refused(server, "shutting down")
            data = [line.removeprefix("data: ") for line in frames if line]

        assert data[-1] == "[DONE]"
        last = json.loads(data[-2])["choices"][0]
        assert last["finish_reason"] in ("stop", "length")
        assert last["thinking"]["tokens"] >= 1500
        assert server.process.wait(STOP_SECONDS) == 0
        wait_until_ended(started)


def test_nothing_is_left_when_the_server_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "--drain-timeout", "0") as server:
        server.wait_until(server.ready)
        started = server.descendants()
        assert {"VLLM::EngineCore", "VLLM::Worker"} <= {process.name() for process in started}
        os.kill(server.process.pid, signal.SIGKILL)
        wait_until_ended(started)
