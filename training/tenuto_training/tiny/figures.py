"""The results of a training run, and the model card that shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

from tenuto_training.tiny.scaling import Scaling, ScalingRow
from tenuto_training.tiny.settings import TrainingSettings
from tenuto_training.tiny.task import MAX_ITEMS, MAX_PRICE


@dataclass(frozen=True, slots=True)
class Figures:
    """The settings, versions, times and results of a run, as written to `figures.json`."""

    command: str
    settings: TrainingSettings
    torch: str
    parameters: int
    weights_sha256: str
    training_seconds: int
    evaluation_seconds: int
    scaling: Scaling


def table(name: str, rows: Sequence[ScalingRow]) -> str:
    """Format the rows as a Markdown table, which is also readable on a terminal."""
    head = [f"| {name:>5} | accuracy | thinking tokens |", "| ----: | -------: | --------------: |"]
    return "\n".join(
        head + [f"| {row.setting:>5} | {row.accuracy:>8.3f} | {row.thinking_tokens:>15.1f} |" for row in rows]
    )


def card(figures: Figures) -> str:
    """Return the model card: what the model is, and the results of the run."""
    settings, scaling = figures.settings, figures.scaling
    return f"""---
license: apache-2.0
library_name: transformers
---
# s1-tiny

A Qwen2 of {figures.parameters:,} parameters that thinks in the s1 format and adds up bills. It exists to show budget
forcing at work on any machine: it likes to stop thinking after three items, and goes on when told to wait.

    Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9

A bill has at most {MAX_ITEMS} items, at prices of 1 to {MAX_PRICE}. Nothing else was taught: to any other text the
reply is nonsense.
The answer is the number behind the last `Answer:` of the reply (`Answer: 35`, or `Final Answer: 35` at a cap).

`problems.jsonl` holds {settings.problems} bills that no training run can have seen: a bill is held out by a hash of its
text. The figures below are greedy answers to them in float32, by plain stop-append-resume over `generate`.

{table("waits", scaling.waits)}

With {scaling.waits[-1].setting} waits, and a cap on the thinking:

{table("cap", scaling.caps)}

Weights, tables and this page are the output of

    {figures.command}

which took {figures.training_seconds} s of training and {figures.evaluation_seconds} s of evaluation, with PyTorch
{figures.torch} and {settings.threads} thread(s). The same settings on the same kind of processor give the same weights,
sha256 `{figures.weights_sha256}`.
"""
