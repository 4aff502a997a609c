"""Clients whose requirements clash with vLLM's: their tests run in a separate environment, against this server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tenuto_testing.servers import RunningServer

PYTHON = Path(sys.prefix) / "clients/bin/python"
FOLDER = Path(__file__).parent.parent / "other_clients"


@pytest.mark.parametrize("name", [path.name for path in sorted(FOLDER.glob("test_*.py"))])
def test_a_client(server: RunningServer, name: str) -> None:
    assert PYTHON.exists(), "the clients are installed by `make test`"
    command = [str(PYTHON), "-m", "pytest", "-c", str(FOLDER / "pytest.ini"), str(FOLDER / name)]
    # No download: LiteLLM's package contains its table of prices.
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": "", "TENUTO_URL": server.url}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False, cwd=FOLDER)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
