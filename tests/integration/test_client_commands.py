"""`tenuto chat` and `tenuto eval` with the real server."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tenuto_testing.servers import RunningServer, wait_until_ended

TENUTO = [sys.executable, "-m", "tenuto"]
SECONDS = 300.0


def test_chat(server: RunningServer, questions: list[str]) -> None:
    typed = f"/max 24\n{questions[0]}\n"
    command = [*TENUTO, "chat", "--url", server.url]
    result = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Answer:" in result.stdout
    assert "[thinking: 24 tokens (at most 24), waits: 0, ended by: cap]" in result.stdout


def test_eval_measures_the_effect_of_waits_and_caps(server: RunningServer, tmp_path: Path) -> None:
    """24 problems are enough to show that caps are kept and that waits lengthen the thinking."""
    command = [*TENUTO, "eval", "demo", "--url", server.url, "--output", str(tmp_path)]
    sizes = ["--limit", "24", "--waits", "0,2", "--caps", "0,16"]
    subprocess.run([*command, *sizes], check=True, capture_output=True, timeout=SECONDS)
    sweeps = json.loads((tmp_path / "results.json").read_text())["sweeps"]
    none, two = sweeps["waits"]["runs"]
    assert (none["answered"], none["mean_waits"]) == (24, 0)
    assert two["mean_waits"] == pytest.approx(2)
    assert two["mean_thinking_tokens"] > none["mean_thinking_tokens"]
    nothing, little = sweeps["caps"]["runs"]
    assert nothing["mean_thinking_tokens"] == 0
    assert little["mean_thinking_tokens"] <= 16
    assert sweeps["caps"]["metrics"]["control"] == 1.0
    assert {"waits.png", "caps.png"} <= {path.name for path in tmp_path.iterdir()}


def test_ctrl_c_in_the_demo_ends_the_server_that_it_started(tmp_path: Path) -> None:
    """The demo starts its own server. It is interrupted at the first answers, and no process remains."""
    command = [*TENUTO, "eval", "demo", "--output", str(tmp_path), "--waits", "6", "--concurrency", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}) as demo:
        watchdog = threading.Timer(SECONDS, demo.kill)
        watchdog.start()
        assert demo.stderr is not None
        line = demo.stderr.readline()
        assert "the server is ready" in line
        started = psutil.Process(demo.pid).children(recursive=True)
        assert len(started) >= 2  # the server, and vLLM's engine
        time.sleep(1)
        demo.send_signal(signal.SIGINT)
        assert demo.wait() == 130
        watchdog.cancel()
    wait_until_ended(started)
