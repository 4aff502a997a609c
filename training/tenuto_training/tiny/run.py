"""One training run: train, write the model folder, and evaluate the model that was written."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers.utils import logging

from tenuto_training.errors import InvalidSetting
from tenuto_training.tiny.figures import Figures, table
from tenuto_training.tiny.model import CONTEXT
from tenuto_training.tiny.model_folder import read_model, weights_sha256, write_figures, write_model, write_problems
from tenuto_training.tiny.resuming import Resumer
from tenuto_training.tiny.scaling import measure_scaling, missed_targets
from tenuto_training.tiny.settings import TrainingSettings
from tenuto_training.tiny.task import held_out_bills
from tenuto_training.tiny.tokenizer import build_tokenizer
from tenuto_training.tiny.training import train


def run(settings: TrainingSettings, folder: Path, command: str, report: Callable[[str], None]) -> Figures:
    """Write a trained model, its held-out problems and its results to `folder`; the model card quotes `command`.

    Raises:
        InvalidSetting: if `folder` exists and is not a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise InvalidSetting(f"output is {folder}, which is not a folder")
    folder.mkdir(parents=True, exist_ok=True)  # now, so that an error appears before the training
    logging.disable_progress_bar()
    started = time.monotonic()
    tokenizer = build_tokenizer(CONTEXT)
    write_model(folder, train(settings, tokenizer, report), tokenizer)
    trained = time.monotonic()
    bills = held_out_bills(settings.problems)
    write_problems(folder, bills)
    report(f"evaluating on {len(bills)} held-out problems")
    model = read_model(folder)
    scaling = measure_scaling(Resumer(model, tokenizer), bills)
    figures = Figures(
        command=command,
        settings=settings,
        torch=torch.__version__,
        parameters=model.num_parameters(),
        weights_sha256=weights_sha256(folder),
        training_seconds=round(trained - started),
        evaluation_seconds=round(time.monotonic() - trained),
        scaling=scaling,
    )
    write_figures(folder, figures)
    report(f"\n{table('waits', scaling.waits)}\n\n{table('cap', scaling.caps)}\n")
    for text in missed_targets(scaling):
        report(f"target missed: {text}")
    report(f"wrote {folder}")
    return figures
