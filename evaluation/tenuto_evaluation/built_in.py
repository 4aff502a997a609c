"""The built-in model's evaluation: what `tenuto eval demo` runs."""

from importlib.util import find_spec
from pathlib import Path

from tenuto_evaluation.errors import InvalidProblems

NUM_PROBLEMS = 400
WAITS = (0, 1, 2, 3, 4, 6)
CAPS = (0, 16, 32, 64, 96, 128, 192, 256, 320)
# The model is so small that a step costs little more for many sequences than for few.
CONCURRENCY = 128


def problems_file() -> Path:
    """The problems that the built-in model was not trained on: they lie beside its weights in the server's package.

    The package is located, not imported: it needs vLLM, and this one needs only HTTP.
    """
    spec = find_spec("tenuto_server")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "s1_tiny" / "problems.jsonl"
        if path.is_file():
            return path
    raise InvalidProblems("the built-in model's problems are not installed: give a file with --problems")
