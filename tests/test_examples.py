"""The index of the examples is complete, and the examples without a server run as written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_examples import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
OFFLINE = ["offline_transformers.py", "offline_vllm.py"]
SECONDS = 300.0


def test_the_index_lists_every_example_and_each_has_a_test() -> None:
    files = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh"))
    index = re.findall(r"^\| \[(.+?)\]\((.+?)\)", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(name for name, _ in index) == files
    assert all(name == target for name, target in index)
    assert sorted([*COMMANDS, *OFFLINE]) == files


@pytest.mark.parametrize("name", OFFLINE)
def test_an_offline_example_shows_waits_and_an_answer(name: str) -> None:
    command = [sys.executable, str(EXAMPLES / name)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "\nWait" in run.stdout
    assert "35" in run.stdout.rpartition("<|im_start|>answer")[2]
