"""`tenuto train`: the command line. Imports nothing heavy."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from tenuto_training.errors import TrainingError
from tenuto_training.tiny.settings import Settings, default_output

HELP = {
    "seed": "of the weights and of the examples",
    "steps": "optimiser steps",
    "batch_size": "examples a step",
    "threads": "threads of PyTorch; another number gives slightly other weights",
    "problems": "held-out problems to evaluate on and to export",
}


def command(argv: Sequence[str]) -> int:
    """Train the small built-in model (`tenuto train tiny`)."""
    arguments = vars(_parser().parse_args(argv))
    arguments.pop("what")
    output: Path | None = arguments.pop("output")
    try:
        settings = Settings(**arguments)
        folder = output or default_output()
        from tenuto_training.tiny.run import run

        run(settings, folder, " ".join(["tenuto train", *argv]), lambda line: print(line, flush=True))
    except (TrainingError, OSError) as error:
        print(f"tenuto train: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tenuto train", description="Train a model.")
    models = parser.add_subparsers(dest="what", required=True, metavar="MODEL")
    tiny = models.add_parser("tiny", help="the built-in model, s1-tiny: a few minutes on one core")
    tiny.add_argument("--output", type=Path, metavar="DIR", help="model folder (default: the server package's)")
    for field in fields(Settings):
        flag = f"--{field.name.replace('_', '-')}"
        text = f"{HELP[field.name]} (default: %(default)s)"
        tiny.add_argument(flag, type=int, default=field.default, metavar="N", help=text)
    return parser
