"""Batches of training examples."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tenuto_training.masking import IGNORED
from tenuto_training.tiny.examples import Example, ExampleSource

POOL = 16
"""Batches drawn at a time, so that examples of similar lengths meet in one."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded token ids and labels, both of the shape (examples, longest); padding has the label `IGNORED`."""

    ids: torch.Tensor
    labels: torch.Tensor


def collate(examples: Sequence[Example], pad: int) -> Batch:
    """Examples of different lengths as one batch, `pad` behind the shorter ones."""
    width = max(len(example.ids) for example in examples)
    ids = [example.ids + [pad] * (width - len(example.ids)) for example in examples]
    labels = [example.labels + [IGNORED] * (width - len(example.labels)) for example in examples]
    return Batch(torch.tensor(ids), torch.tensor(labels))


def batches(source: ExampleSource, rng: random.Random, size: int, pad: int) -> Iterator[Batch]:
    """Endless batches of `size` examples: a pool is sorted by length, cut into batches and dealt in random order."""
    while True:
        pool = sorted((source.draw() for _ in range(size * POOL)), key=lambda example: len(example.ids))
        groups = [pool[start : start + size] for start in range(0, len(pool), size)]
        rng.shuffle(groups)
        for group in groups:
            yield collate(group, pad)
