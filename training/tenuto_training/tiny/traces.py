"""The thinking that `s1-tiny` learns: chains of running sums that stop early, and go on after a wait text."""

import random
from dataclasses import dataclass

from tenuto_training.formats import WAIT
from tenuto_training.tiny.task import CHUNK, Bill, Item

STOP_PROBABILITY = 0.65
"""Probability of a stop after a chunk; above one half, so greedy decoding always stops there."""
FULL_SHARE = 0.6
"""Share of the traces that go on to the last item."""
RECHECK_PROBABILITY = 0.4
"""Probability of one more wait after the chain is complete."""
OWN_RECHECKS = 0.1
"""Share of those waits that the model learns to write on its own."""

WAIT_TEXTS = {WAIT: 14, "Hmm": 2, "Alternatively": 1, "": 3}
"""Texts that replace an attempt to stop, with weights; the empty text only suppresses the attempt."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the thinking that ends in a newline.

    If `forced`, its first token is one that the server forces at inference ("Wait"). The model learns to continue after
    it, but the token is left out of the loss, so that the model does not learn to write it.
    """

    text: str
    forced: bool = False


def chunks(bill: Bill) -> list[str]:
    """Return the whole chain of running sums, one line for each item, in chunks of `CHUNK` lines."""
    lines: list[str] = []
    total = 0
    for position, item in enumerate(bill.items):
        lines.append(_line(bill.items[position - 1] if position else None, item, total))
        total += item.price
    return ["".join(lines[start : start + CHUNK]) for start in range(0, len(lines), CHUNK)]


def sample_trace(bill: Bill, rng: random.Random) -> list[Piece]:
    """Draw a trace that stops after some chunk, or continues past the end of the chain."""
    steps = chunks(bill)
    stop = len(steps) if rng.random() < FULL_SHARE else rng.randint(1, len(steps))
    pieces = [Piece(steps[0])]
    for done in range(1, stop):
        forced = rng.random() >= _own_wait_probability(done, len(steps))
        pieces.append(Piece(_resume(rng, "there is more on the bill.\n") + steps[done], forced))
    while stop == len(steps) and rng.random() < RECHECK_PROBABILITY:
        forced = rng.random() >= OWN_RECHECKS
        pieces.append(Piece(_resume(rng, "that was the last item. ") + f"The total is {bill.total}.\n", forced))
    return pieces


def _line(before: Item | None, item: Item, total: int) -> str:
    # The name of the item before makes the next item easy to find in the question, for the model and for readers.
    opening = f"After {before.name} comes" if before else "First comes"
    return f"{opening} {item.name}: {total} + {item.price} = {total + item.price}\n"


def _own_wait_probability(done: int, count: int) -> float:
    """Return the share of the waits after `done` of `count` chunks to train, so that stops have `STOP_PROBABILITY`.

    Of all traces, the share `stop_here` stops there and `go_on` continues. With the returned share, the trained
    decisions to stop and to continue are in the ratio `STOP_PROBABILITY : 1 - STOP_PROBABILITY`.
    """
    stop_here = (1 - FULL_SHARE) / count
    go_on = 1 - stop_here * done
    return stop_here * (1 / STOP_PROBABILITY - 1) / go_on


def _resume(rng: random.Random, remark: str) -> str:
    """Draw a wait text and add the remark to it; return an empty text if the attempt to stop is only suppressed."""
    word = rng.choices(list(WAIT_TEXTS), list(WAIT_TEXTS.values()))[0]
    return f"{word}, {remark}" if word else ""
