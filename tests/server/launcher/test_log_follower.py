"""Following the log file: which lines of engine processes are shown, and which stages of loading are recognised."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tenuto_server.launcher import log_follower
from tenuto_server.launcher.log_follower import NOISE, NOISE_OF_BUILT_IN, EngineLine, LogFollower

WARNING = "(EngineCore pid=7) WARNING 11-28 16:29:50 [vllm.py:725] Something to change."
ERROR = "(Worker-0 pid=8) ERROR 11-28 16:29:51 [core.py:9]   File 'x', line 3"
INFO = "(EngineCore pid=7) INFO 11-28 16:29:50 [core.py:1] Usual."
NOISY = "(EngineCore pid=7) WARNING 11-28 16:29:50 [a.py:1] Enforce eager set, disabling torch.compile, and more"


class Log:
    """A log file with a follower, and what that has reported."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text("before\n")
        self.shown: list[EngineLine] = []
        self.stages: list[str] = []
        self.follower = LogFollower(path, NOISE, self.shown.append, self.stages.append)

    def append(self, *lines: str) -> None:
        with self.path.open("ab") as file:
            file.write("".join(f"{line}\n" for line in lines).encode())

    def messages(self) -> list[str]:
        """The messages shown once everything was read."""
        self.follower.close()
        return [line.message for line in self.shown]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    monkeypatch.setattr(log_follower, "_POLL_SECONDS", 0.01)
    log = Log(tmp_path / "log")
    yield log
    log.follower.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_warnings_and_errors_of_other_processes_are_shown(log: Log) -> None:
    own = f"(MainProcess pid={os.getpid()}) WARNING 11-28 16:29:50 [a.py:1] Shown by the handler."
    log.append(INFO, WARNING, NOISY, own, "W1128 raw text\r", f"prefix {ERROR}\r", "", "{broken")
    assert log.messages() == ["Something to change.", "  File 'x', line 3"]
    assert (log.shown[1].process, log.shown[1].level, log.shown[1].time) == ("Worker-0", "ERROR", "16:29:51")


def test_json_lines_are_shown_unchanged(log: Log) -> None:
    line = json.dumps({"processName": "EngineCore", "process": 7, "levelname": "WARNING", "message": "Odd."})
    log.append(line, line.replace("WARNING", "INFO"))
    assert log.messages() == ["Odd."]
    assert log.shown[0].text == line


def test_a_warning_is_shown_once_while_the_model_loads(log: Log) -> None:
    """Each of many workers writes it."""
    log.append(WARNING, WARNING.replace("pid=7", "pid=9"))
    wait_until(lambda: bool(log.shown))
    log.follower.is_loading = False
    log.append(WARNING, WARNING)
    assert len(log.messages()) == 3


def test_a_line_may_arrive_in_pieces(log: Log) -> None:
    with log.path.open("a") as file:
        for piece in (WARNING[:30], WARNING[30:], "\n"):
            file.write(piece)
            file.flush()
            time.sleep(0.03)
    assert log.messages() == ["Something to change."]


def test_stages_of_loading(log: Log) -> None:
    log.append("INFO Thinking: family s1, a to b", "Starting to load model x...")
    log.messages()
    assert log.stages == ["starting the engine", "loading the weights"]


def test_a_large_file_is_copied_and_emptied(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_follower, "_MAX_BYTES", 1000)
    log.append(*[INFO] * 20)
    wait_until(lambda: log.path.stat().st_size == 0)
    assert log.path.with_name("log.1").read_text().count(INFO) == 20
    log.append(WARNING)
    assert log.messages() == ["Something to change."]


@pytest.mark.parametrize(
    ("message", "is_noise", "is_noise_of_built_in"),
    [
        ("Found ulimit of 20000 and failed to automatically increase", True, True),
        ("Found ulimit of 1024 and failed to automatically increase", False, False),
        ("libiomp is not found in LD_PRELOAD. For best performance", False, True),
        ("Unknown vLLM environment variable detected: VLLM_X", False, False),
    ],
)
def test_noise_is_what_the_operator_need_not_change(message: str, is_noise: bool, is_noise_of_built_in: bool) -> None:
    assert bool(NOISE.search(message)) is is_noise
    assert bool(NOISE_OF_BUILT_IN.search(message)) is is_noise_of_built_in
