"""`tenuto serve`: hands over to the server's process. Imports nothing heavy."""

import os
import sys
from collections.abc import Sequence
from typing import Never


def command(argv: Sequence[str]) -> Never:
    """Serve a model over HTTP, with thinking budgets; without a model, the built-in small one."""
    # -P: a folder called `vllm` in the working directory must not be taken for the engine.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tenuto_server.launcher.process", *argv])
