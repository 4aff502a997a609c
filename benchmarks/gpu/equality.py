"""Random requests live through a simulated engine on the device: every row and state is the Python automaton's."""

import random
from collections import Counter
from dataclasses import dataclass

import torch

from tenuto_testing.simulated_engine import World
from tenuto_testing.simulated_requests import draw_story

SLOTS = 128
#: Requests that live through one engine, at most.
CROWD = 400


@dataclass(frozen=True)
class Equality:
    """What came of it.

    Attributes:
        cases: requests that were compared.
        seed: draws the same requests again.
        events: what happened to them.
        difference: the first row or state that differed, or empty.
    """

    cases: int
    seed: int
    events: dict[str, int]
    difference: str

    @property
    def equal(self) -> bool:
        return not self.difference


def compare(cases: int, seed: int, device: torch.device) -> Equality:
    """Let that many random requests live on the device, up to the first that differs."""
    events: Counter[str] = Counter()
    begun, difference = 0, ""
    while begun < cases and not difference:
        chance = random.Random(f"{seed} {begun}")
        crowd = [draw_story(chance) for _ in range(min(CROWD, cases - begun))]
        world = World(chance, SLOTS, device=str(device))
        try:
            world.live_through(crowd)
        except AssertionError as error:
            difference = str(error) or repr(error)
        events.update(world.events)
        begun += len(crowd)
    return Equality(begun, seed, dict(sorted(events.items())), difference)
