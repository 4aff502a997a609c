"""Traffic for some minutes that gives every panel something to show."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import cycle

from tenuto_testing.varied_load import KINDS, VariedLoad

#: Of a wave of requests.
PERIOD_SECONDS = 60.0
#: How long a server is full, and in every how many rounds.
FULL_SECONDS, FULL_EVERY = 3.0, 5
#: Sequences that a server runs, that may wait, and blocks of its cache: few, so that the load fills them.
RUNNING, WAITING, BLOCKS = 16, 16, 48

Event = Callable[[], Awaitable[None]]


async def traffic(loads: Sequence[VariedLoad], seconds: float) -> None:
    """Requests of all kinds to all servers at once, more and fewer at a time. What still runs in the end is left."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(_rounds(load, phase=2.0 * at, most=6 - 2 * at) for at, load in enumerate(loads)))


async def _rounds(load: VariedLoad, phase: float, most: int) -> None:
    """Each round has a request of every kind, and next to them one event."""
    for number, event in enumerate(cycle(_events(load))):
        share = (1 + math.sin(2 * math.pi * time.monotonic() / PERIOD_SECONDS + phase)) / 2
        await asyncio.gather(load.replies(len(KINDS), at_once=1 + round((most - 1) * share)), event())
        if number % FULL_EVERY == FULL_EVERY // 2:
            await load.fill(RUNNING + WAITING, FULL_SECONDS)


def _events(load: VariedLoad) -> Sequence[Event]:
    """Refusals, steering, and clients that disconnect."""
    return (
        load.refusals,
        lambda: load.steer("answer_now"),
        lambda: load.leave("thinking"),
        lambda: load.leave("whole"),
        lambda: load.steer("think_until", min_thinking_tokens=300),
        lambda: load.leave("answer"),
    )
