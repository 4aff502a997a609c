"""Defaults of `tenuto eval demo`, which evaluates the built-in model."""

from importlib.util import find_spec
from pathlib import Path

from tenuto_evaluation.errors import InvalidProblems

NUM_PROBLEMS = 400
WAITS = (0, 1, 2, 3, 4, 6)
CAPS = (0, 16, 32, 64, 96, 128, 192, 256, 320)
# The model is so small that a step with many sequences takes little longer than a step with few.
CONCURRENCY = 128


def problems_file() -> Path:
    """Return the file of problems that the built-in model was not trained on, next to its weights.

    The server's package is located without importing it, because importing it needs vLLM.
    """
    spec = find_spec("tenuto_server")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "s1_tiny" / "problems.jsonl"
        if path.is_file():
            return path
    raise InvalidProblems("the problems of the built-in model are not installed: name a file with --problems")
