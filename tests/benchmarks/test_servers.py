"""Which server does for which benchmark, where the short form shares them; and that it is the one that answers."""

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from benchmarks.servers import PLAIN_VLLM, TENUTO, Start, serving
from tenuto_evaluation import launch


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return folder(tmp_path / "one", '{"hidden_size": 64}')


def folder(path: Path, configuration: str) -> Path:
    path.mkdir()
    (path / "config.json").write_text(configuration)
    return path


def test_a_server_does_for_who_asks_for_no_more_than_it_has(model: Path, tmp_path: Path) -> None:
    started = Start(TENUTO, model, ("--max-num-seqs", "8", "--enforce-eager", "--dtype", "float32"), {"A": "1"})
    copy = folder(tmp_path / "copy", '{"hidden_size": 64}')
    for flags in ((), ("--enforce-eager",), ("--dtype", "float32", "--max-num-seqs", "8")):
        assert started.covers(Start(TENUTO, copy, flags))
    assert started.covers(Start(TENUTO, model, (), {"A": "1"}))


@pytest.mark.parametrize("flags", [("--max-num-seqs", "16"), ("--seed", "1"), ("--max-num-seqs",)])
def test_and_for_nobody_who_asks_for_other_flags(model: Path, flags: tuple[str, ...]) -> None:
    assert not Start(TENUTO, model, ("--max-num-seqs", "8")).covers(Start(TENUTO, model, flags))


@pytest.mark.parametrize("environment", [{"A": "2"}, {"B": ""}])
def test_nor_for_another_environment(model: Path, environment: dict[str, str]) -> None:
    assert not Start(TENUTO, model, (), {"A": "1"}).covers(Start(TENUTO, model, (), environment))


def test_another_command_or_model_is_another_server(model: Path, tmp_path: Path) -> None:
    other = folder(tmp_path / "two", '{"hidden_size": 128}')
    assert not Start(TENUTO, model, ()).covers(Start(PLAIN_VLLM, model, ()))
    assert not Start(TENUTO, model, ()).covers(Start(TENUTO, other, ()))


def test_who_is_first_decides_what_is_there_for_the_next(model: Path) -> None:
    bare, more = Start(TENUTO, model, ()), Start(TENUTO, model, ("--seed", "1"))
    assert more.covers(bare)
    assert not bare.covers(more)


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def taken_port() -> Iterator[int]:
    """One at which somebody else says that all is well."""
    with HTTPServer(("127.0.0.1", 0), Healthy) as other:
        answering = threading.Thread(target=other.serve_forever)
        answering.start()
        yield other.server_port
        other.shutdown()
        answering.join()


def test_a_server_whose_port_another_process_has_is_not_measured_in_its_place(
    model: Path, tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "free_port", lambda: taken_port)
    loading = (sys.executable, "-c", "import time; time.sleep(60)")
    with (
        pytest.raises(RuntimeError, match=f"another process answers at http://127.0.0.1:{taken_port}"),
        serving(loading, model, (), tmp_path / "log"),
    ):
        pass
