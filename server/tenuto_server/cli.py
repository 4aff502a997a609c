"""`tenuto serve` and `tenuto markers`: hand over to processes of their own. Imports nothing heavy."""

import os
import sys
from collections.abc import Sequence
from typing import Never


def command(argv: Sequence[str]) -> Never:
    """Serve a model over HTTP, with thinking budgets; without a model, the built-in small one."""
    # -P: a folder called `vllm` in the working directory must not be taken for the engine.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tenuto_server.launcher.process", *argv])


def markers(argv: Sequence[str]) -> Never:
    """Show how a model marks its thinking, and what is forced, without loading its weights."""
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tenuto_server.inspection", *argv])
