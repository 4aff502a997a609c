"""The playground's sources: pure modules under Node, types, and vendored files as npm has them."""

import subprocess

from scripts.vendor_playground import differences
from tests.browser.conftest import ROOT, TOOLS

SECONDS = 300


def test_the_pure_modules() -> None:
    run = subprocess.run(
        ["node", "--test", "tests/browser/unit/"], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS
    )
    assert run.returncode == 0, run.stdout[-8000:]
    assert "# fail 0" in run.stdout


def test_the_types_agree() -> None:
    command = [str(TOOLS / ".bin/tsc"), "--project", "tests/browser/tsconfig.json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    assert run.returncode == 0, run.stdout


def test_vendored_files_are_those_of_npm() -> None:
    assert differences() == []
