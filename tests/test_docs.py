"""The examples of the documentation run as they are written."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs/offline.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("place", range(len(EXAMPLES)), ids=["vllm", "transformers"])
def test_an_example_of_offline_use_shows_waits_and_an_answer(place: int, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(EXAMPLES[place])
    run = subprocess.run(
        [sys.executable, str(script)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "\nWait" in run.stdout
    assert "35" in run.stdout.rpartition("<|im_start|>answer")[2]


def test_every_sub_package_has_its_line_in_the_architecture_page() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    packages = ("decoding/*", "server/*", "clients/python/*", "training/*", "evaluation/*")
    rooms = [path.parent.name for pattern in packages for path in ROOT.glob(f"{pattern}/*/__init__.py")]
    assert len(rooms) > 5
    assert [room for room in rooms if f"`{room}" not in text] == []
