"""One run: train, write the model folder, evaluate what was written."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers.utils import logging

from tenuto_training.errors import InvalidSetting
from tenuto_training.tiny.evaluation import evaluate, shortfalls
from tenuto_training.tiny.figures import Figures, table
from tenuto_training.tiny.folder import read_model, weights_sha256, write_figures, write_model, write_problems
from tenuto_training.tiny.model import CONTEXT
from tenuto_training.tiny.resuming import Resumer
from tenuto_training.tiny.settings import Settings
from tenuto_training.tiny.task import held_out_bills
from tenuto_training.tiny.tokenizer import build_tokenizer
from tenuto_training.tiny.training import train


def run(settings: Settings, folder: Path, command: str, report: Callable[[str], None]) -> Figures:
    """Fill `folder` with a trained model, its held-out problems and its figures; `command` is quoted in the card.

    Raises:
        InvalidSetting: when `folder` is something else than a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise InvalidSetting(f"output is {folder}: that is not a folder")
    folder.mkdir(parents=True, exist_ok=True)  # before the training, not after it, is the time to learn that it fails
    logging.disable_progress_bar()
    begun = time.monotonic()
    tokenizer = build_tokenizer(CONTEXT)
    write_model(folder, train(settings, tokenizer, report), tokenizer)
    trained = time.monotonic()
    bills = held_out_bills(settings.problems)
    write_problems(folder, bills)
    report(f"evaluating on {len(bills)} held-out problems")
    model = read_model(folder)
    scaling = evaluate(Resumer(model, tokenizer), bills)
    figures = Figures(
        command=command,
        settings=settings,
        torch=torch.__version__,
        parameters=model.num_parameters(),
        weights_sha256=weights_sha256(folder),
        training_seconds=round(trained - begun),
        evaluation_seconds=round(time.monotonic() - trained),
        scaling=scaling,
    )
    write_figures(folder, figures)
    report(f"\n{table('waits', scaling.waits)}\n\n{table('cap', scaling.caps)}\n")
    for text in shortfalls(scaling):
        report(f"target missed: {text}")
    report(f"wrote {folder}")
    return figures
