"""What `tenuto serve` shows while it starts, and what goes to its log file."""

import json
import os
import pty
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from tenuto_evaluation.launch import TENUTO_SERVE
from tenuto_testing.servers import MODEL_FOLDER, START_SECONDS, RunningServer, serving
from tenuto_testing.unmarked_model import save_unmarked

#: What vLLM, its processes, its libraries and uvicorn write, each in its own way.
OF_THE_ENGINE = (
    "Initializing a V1 LLM engine",
    "Starting to load model",
    "Loading safetensors checkpoint shards",
    "Triton is installed",
    "FutureWarning",
    "Application startup complete",
)


def log_file(output: str) -> Path:
    """The log file that the banner names."""
    [path] = re.findall(r"^  log +(\S+)", output, re.M)
    return Path(path)


@pytest.fixture
def unmarked_model(tmp_path: Path) -> Path:
    """A model whose markers are unknown, so that a default budget ends the start before the engine starts."""
    return save_unmarked(tmp_path / "model")


@pytest.fixture
def broken_model(tmp_path: Path) -> Path:
    """A model whose weights are missing after the file's header, so that only the worker fails."""
    shutil.copytree(MODEL_FOLDER, tmp_path / "model")
    weights = tmp_path / "model/model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: 8 + int.from_bytes(whole[:8], "little")])
    return tmp_path / "model"


def test_a_start_shows_a_banner_its_progress_and_how_to_try_it(server: RunningServer) -> None:
    server.wait_until(lambda: "Try it" in server.log.read_text())
    start = server.log.read_text().partition("Try it")[0]
    lines = start.splitlines()
    assert lines[0].startswith("Tenuto ")
    assert re.search(rf"^  URL +{server.url}$", start, re.M)
    assert len(lines) < 30
    assert "WARNING" not in start
    assert "Tenuto is ready" in lines[-1]
    for text in OF_THE_ENGINE:
        assert text not in start


def test_the_command_to_try_is_a_request_that_works(server: RunningServer) -> None:
    server.wait_until(lambda: "Try it" in server.log.read_text())
    url, body = re.findall(r"curl (\S+) \\\n.*\\\n +-d '([^']*)'", server.log.read_text())[0]
    assert url.startswith(server.url)
    assert server.post(url.removeprefix(server.url), **json.loads(body)).status_code == 200


def test_everything_else_is_in_the_log_file(server: RunningServer) -> None:
    server.wait_until(lambda: "Try it" in server.log.read_text())
    path = log_file(server.log.read_text())
    assert path.stat().st_mode & 0o077 == 0
    text = path.read_text()
    for expected in OF_THE_ENGINE:
        assert expected in text


def test_requests_are_in_both(server: RunningServer) -> None:
    response = server.chat(messages=[{"role": "user", "content": "hello"}], max_tokens=2)
    line = f"POST /v1/chat/completions 200 ok request_id={response.headers['x-request-id']}"
    server.wait_until(lambda: line in server.log.read_text(), seconds=20)
    assert line in log_file(server.log.read_text()).read_text()


def test_an_engine_that_does_not_start_is_explained_on_the_terminal(broken_model: Path) -> None:
    """On a TTY, which has a spinner too. The worker's error, the end of the log and its path are shown."""
    terminal, end = pty.openpty()
    command = [*TENUTO_SERVE, str(broken_model), "--port", "0", "--enforce-eager"]
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1"}
    process = subprocess.Popen(command, stdout=end, stderr=end, stdin=subprocess.DEVNULL, env=environment)
    os.close(end)
    pieces: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(terminal, 4096):
                pieces.append(piece)
        except OSError:  # how Linux reports that the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    assert process.wait(START_SECONDS) == 1
    reader.join(timeout=10)
    os.close(terminal)
    output = b"".join(pieces).decode().replace("\r\n", "\n")
    assert re.search(r"[⠋⠙⠹] loading vLLM \.\.\. \d+ s", output)
    assert "SafetensorError" in output
    assert len(re.findall(r"tenuto serve: the model could not be loaded: \w+", output)) == 1
    path = log_file(output)
    assert f"The last lines of the log, {path}:" in output
    assert "SafetensorError" in path.read_text()


def test_a_start_that_fails_before_the_engine_leaves_one_line(unmarked_model: Path, tmp_path: Path) -> None:
    """A chosen log file is continued, not replaced, and stays."""
    log = tmp_path / "serve.log"
    log.write_text("of an earlier start\n")
    options = (str(unmarked_model), "--default-num-waits", "1", "--log-file", str(log))
    with serving(tmp_path / "output", *options) as server:
        assert server.process.wait(START_SECONDS) == 2
    output = server.log.read_text()
    assert len([line for line in output.splitlines() if line.startswith("tenuto serve: ")]) == 1
    assert "Traceback" not in output
    assert log_file(output) == log
    assert log.read_text().startswith("of an earlier start\n")
    assert "Resolved architecture" in log.read_text()


def test_verbose_shows_the_full_log_on_the_terminal(unmarked_model: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "output", str(unmarked_model), "--default-num-waits", "1", "--verbose") as server:
        assert server.process.wait(START_SECONDS) == 2
    output = server.log.read_text()
    assert "Resolved architecture" in output
    assert "  log " not in output
    assert "tenuto serve: " in output


def test_a_log_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with serving(tmp_path / "output", "--log-file", str(tmp_path / "nowhere/serve.log")) as server:
        assert server.process.wait(START_SECONDS) == 2
    assert server.log.read_text() == (
        f"tenuto serve: --log-file: {tmp_path}/nowhere/serve.log cannot be written: No such file or directory\n"
    )
