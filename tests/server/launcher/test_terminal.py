"""The terminal, kept apart from standard output and error, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

PRELUDE = """
import os, subprocess, sys
from tenuto_server.launcher.progress import LoadProgress
from tenuto_server.launcher.terminal import ServerTerminal
terminal = ServerTerminal()
terminal.capture_errors()
"""


def run(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"TMPDIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_only_errors_are_captured_until_the_command_line_is_known(tmp_path: Path) -> None:
    """So that `--help` reaches standard output."""
    result = run("print('help'); sys.stderr.write('noise\\n')", tmp_path)
    assert (result.stdout, result.stderr) == ("help\n", "")
    [file] = tmp_path.iterdir()
    assert file.read_text() == "noise\n"


def test_everything_goes_to_the_log_file_and_only_the_terminals_lines_to_the_terminal(tmp_path: Path) -> None:
    script = """
terminal.capture(None)
print('printed'); sys.stderr.write('an error\\n'); os.write(2, b'from C\\n')
subprocess.run(['sh', '-c', 'echo of a child; echo and its error >&2'])
terminal.write('shown'); terminal.write('wrong', error=True)
sys.stdout.flush()
"""
    result = run(script, tmp_path)
    assert (result.stdout, result.stderr) == ("shown\n", "wrong\n")
    [file] = tmp_path.iterdir()
    text = file.read_text()
    assert all(line in text for line in ("printed", "an error", "from C", "of a child", "and its error"))


def test_a_chosen_file_is_continued_and_has_the_first_errors_too(tmp_path: Path) -> None:
    (tmp_path / "chosen").write_text("before\n")
    result = run(
        f"sys.stderr.write('noise\\n'); terminal.capture({str(tmp_path / 'chosen')!r}); print('later')", tmp_path
    )
    assert result.stdout == ""
    assert (tmp_path / "chosen").read_text() == "before\nnoise\nlater\n"
    assert [file.name for file in tmp_path.iterdir()] == ["chosen"]


def test_released_everything_is_on_the_terminal_again(tmp_path: Path) -> None:
    result = run("terminal.capture(None); terminal.release(); terminal.drop_log(); print('out')", tmp_path)
    assert result.stdout == "out\n"
    assert list(tmp_path.iterdir()) == []


def test_without_a_tty_there_is_no_spinner_but_a_line_now_and_then(tmp_path: Path) -> None:
    script = """
import time
from tenuto_server.launcher import progress
progress._LINE_SECONDS = 0.2
shown = LoadProgress(terminal, 'loading')
time.sleep(0.5)
shown.write_line = terminal.write
shown.enter('warming up')
time.sleep(0.5)
shown.stop()
"""
    lines = run(script, tmp_path).stdout.splitlines()
    assert lines
    assert all(line.startswith("warming up ... ") for line in lines)
