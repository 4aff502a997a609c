"""`tenuto train`: the command line. Does not import PyTorch, so that `tenuto --help` is fast."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from tenuto_training.errors import TrainingError
from tenuto_training.tiny.settings import TrainingSettings, default_output

HELP = {
    "seed": "seed of the weights and of the examples",
    "steps": "optimizer steps",
    "batch_size": "examples per step",
    "threads": "PyTorch threads; another number gives slightly different weights",
    "problems": "held-out problems to evaluate on and to write to problems.jsonl",
}


def command(argv: Sequence[str]) -> int:
    """Train the built-in model again (`tenuto train tiny`)."""
    arguments = vars(_parser().parse_args(argv))
    arguments.pop("model")
    output: Path | None = arguments.pop("output")
    try:
        settings = TrainingSettings(**arguments)
        folder = output or default_output()
        from tenuto_training.tiny.run import run

        run(settings, folder, " ".join(["tenuto train", *argv]), lambda line: print(line, flush=True))
    except (TrainingError, OSError) as error:
        print(f"tenuto train: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tenuto train", description=command.__doc__)
    models = parser.add_subparsers(dest="model", required=True, metavar="MODEL")
    text = "train the built-in model, s1-tiny: a few minutes on one core"
    tiny = models.add_parser("tiny", help=text, description=text.capitalize() + ".")
    tiny.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder to write the model to (default: server/tenuto_server/s1_tiny)",
    )
    for field in fields(TrainingSettings):
        flag = f"--{field.name.replace('_', '-')}"
        text = f"{HELP[field.name]} (default: %(default)s)"
        tiny.add_argument(flag, type=int, default=field.default, metavar="N", help=text)
    return parser
