"""What `s1-tiny` learns to write: chains of running sums that stop early, and go on when told to wait."""

import random
from dataclasses import dataclass

from tenuto_training.formats import WAIT
from tenuto_training.tiny.task import CHUNK, Bill, Item

STOP_PROBABILITY = 0.65
"""How often the model wants to stop after a chunk; above one half, so greedy decoding always stops there."""
FULL_SHARE = 0.6
"""Share of the traces that go on to the last item."""
RECHECK_PROBABILITY = 0.4
"""Chance of one more wait when the chain is complete."""
OWN_RECHECKS = 0.1
"""Share of those waits that the model learns to write by itself."""

WAIT_TEXTS = {WAIT: 14, "Hmm": 2, "Alternatively": 1, "": 3}
"""What takes the place of an attempt to stop, with weights; the empty text only suppresses the attempt."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of thinking that ends in a newline.

    Where `forced`, its first token is one that the server forces at inference ("Wait"). The model learns to go on from
    it, but it is left out of the loss, so that the model does not learn to write it.
    """

    text: str
    forced: bool = False


def chunks(bill: Bill) -> list[str]:
    """The whole chain of running sums, a line for each item, `CHUNK` lines at a time."""
    lines: list[str] = []
    total = 0
    for position, item in enumerate(bill.items):
        lines.append(_line(bill.items[position - 1] if position else None, item, total))
        total += item.price
    return ["".join(lines[start : start + CHUNK]) for start in range(0, len(lines), CHUNK)]


def sample_trace(bill: Bill, rng: random.Random) -> list[Piece]:
    """A trace that stops after some chunk, or goes on past the end of the chain."""
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
    # Naming the item before is what makes the next one easy to find in the question, for a model as for an onlooker.
    opening = f"After {before.name} comes" if before else "First comes"
    return f"{opening} {item.name}: {total} + {item.price} = {total + item.price}\n"


def _own_wait_probability(done: int, count: int) -> float:
    """Share of the waits after `done` of `count` chunks that are trained, so that stopping has `STOP_PROBABILITY`.

    Of all traces, `stop_here` stop there and `go_on` go on; with the share returned, trained decisions are in the
    ratio `STOP_PROBABILITY : 1 - STOP_PROBABILITY`.
    """
    stop_here = (1 - FULL_SHARE) / count
    go_on = 1 - stop_here * done
    return stop_here * (1 / STOP_PROBABILITY - 1) / go_on


def _resume(rng: random.Random, remark: str) -> str:
    """A wait text and the remark after it; nothing when the attempt to stop is only suppressed."""
    word = rng.choices(list(WAIT_TEXTS), list(WAIT_TEXTS.values()))[0]
    return f"{word}, {remark}" if word else ""
