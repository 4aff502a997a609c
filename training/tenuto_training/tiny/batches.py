"""Batches of training examples."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tenuto_training.masking import IGNORED
from tenuto_training.tiny.examples import Example, ExampleSource

POOL = 16
"""Number of batches drawn at a time, so that each can hold examples of similar lengths."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded token ids and labels of the shape (examples, longest); padding has the label `IGNORED`."""

    ids: torch.Tensor
    labels: torch.Tensor


def collate(examples: Sequence[Example], pad: int) -> Batch:
    """Make one batch of examples of different lengths, with `pad` after the shorter ones."""
    width = max(len(example.ids) for example in examples)
    ids = [example.ids + [pad] * (width - len(example.ids)) for example in examples]
    labels = [example.labels + [IGNORED] * (width - len(example.labels)) for example in examples]
    return Batch(torch.tensor(ids), torch.tensor(labels))


def batches(source: ExampleSource, rng: random.Random, size: int, pad: int) -> Iterator[Batch]:
    """Yield batches of `size` examples without end. A pool is sorted by length, split into batches, and shuffled."""
    while True:
        pool = sorted((source.draw() for _ in range(size * POOL)), key=lambda example: len(example.ids))
        groups = [pool[start : start + size] for start in range(0, len(pool), size)]
        rng.shuffle(groups)
        for group in groups:
            yield collate(group, pad)
