"""The chat that `helm test` sends, run as its pod runs it against a real server."""

import subprocess
import sys
from pathlib import Path

from tenuto_testing.servers import RunningServer

SCRIPT = (Path(__file__).parents[2] / "deploy/helm/tenuto/files/scripts/chat.py").read_text()


def chat(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_the_chat_of_the_chart_shows_that_the_budget_is_enforced(server: RunningServer) -> None:
    done = chat(server.url, "s1-tiny")
    assert done.returncode == 0, done.stderr
    assert "thinking tokens of at most 16, ended by" in done.stdout


def test_it_sends_the_first_key_of_the_file(server: RunningServer, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# clients\n\nfirst\nsecond\n")
    assert chat(server.url, "s1-tiny", str(keys)).returncode == 0


def test_it_fails_with_the_answer_of_a_server_that_refuses(server: RunningServer) -> None:
    done = chat(server.url, "another-model")
    assert done.returncode == 1
    assert "status 404" in done.stderr
    assert "another-model" in done.stderr
