"""What `s1-tiny` learns to write: chains of running sums that stop early, and go on when told to wait.

A trace is a list of pieces. A *forced* piece is one that the server would have forced at inference ("Wait", or the
opener of the answer at a cap): it is in the text, so the model learns to go on from it, but it is left out of the loss,
so the model does not learn to write it.
"""

import random
from dataclasses import dataclass

from tenuto_training.formats import WAIT
from tenuto_training.tiny.task import CHUNK, Bill

STOP_PROBABILITY = 0.65
"""How often the model wants to stop after a chunk; above one half, so greedy decoding always stops."""
FULL_SHARE = 0.6
"""Share of the traces that go on to the last number."""
RECHECK_PROBABILITY = 0.35
"""Chance of one more forced wait when the chain is complete."""

WAIT_TEXTS = ((WAIT, 14), ("Hmm", 2), ("Alternatively", 1), ("", 3))
"""What is forced at an attempt to stop, with weights. The empty text only suppresses the attempt."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of thinking that ends in a newline; `forced` tells whether its first token was forced on the model."""

    text: str
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """Thinking, and the total it has reached."""

    pieces: tuple[Piece, ...]
    total: int


def chunks(bill: Bill) -> list[str]:
    """The chain of running sums, `CHUNK` lines at a time."""
    lines: list[str] = []
    total = 0
    for item in bill.items:
        lines.append(f"{total} + {item} = {total + item.price}\n")
        total += item.price
    return ["".join(lines[start : start + CHUNK]) for start in range(0, len(lines), CHUNK)]


def sample_trace(bill: Bill, rng: random.Random) -> Trace:
    """A trace that stops after some chunk, or goes past the end of the chain."""
    steps = chunks(bill)
    stop = len(steps) if rng.random() < FULL_SHARE else rng.randint(1, len(steps))
    pieces = [Piece(steps[0])]
    for done in range(1, stop):
        forced = rng.random() >= _self_wait_probability(done, len(steps))
        pieces.append(Piece(_resume(rng, "there is more on the bill.\n") + steps[done], forced))
    total = sum(item.price for item in bill.items[: stop * CHUNK])
    while stop == len(steps) and rng.random() < RECHECK_PROBABILITY:
        pieces.append(Piece(_resume(rng, "that was the last item. ") + f"The total is {total}.\n", forced=True))
    return Trace(tuple(pieces), total)


def _self_wait_probability(done: int, count: int) -> float:
    """How often going on after `done` of `count` chunks is trained, so that stopping there has `STOP_PROBABILITY`."""
    stop_here = (1 - FULL_SHARE) / count
    go_on = 1 - stop_here * done
    return stop_here * (1 / STOP_PROBABILITY - 1) / go_on


def _resume(rng: random.Random, remark: str) -> str:
    """A wait text and the remark after it; nothing when the attempt to stop is only suppressed."""
    texts, weights = zip(*WAIT_TEXTS, strict=True)
    word = rng.choices(texts, weights)[0]
    return f"{word}, {remark}" if word else ""
