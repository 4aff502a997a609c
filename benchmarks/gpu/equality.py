"""Random requests in a simulated engine on the device: every row and state must equal the Python automaton's."""

import random
from collections import Counter
from dataclasses import dataclass

import torch

from tenuto_testing.simulated_engine import SimulatedEngine
from tenuto_testing.simulated_requests import draw_request

SLOTS = 128
#: Most requests of one engine.
REQUESTS = 400


@dataclass(frozen=True)
class Equality:
    """The result of a comparison.

    Attributes:
        cases: requests that were compared.
        seed: of the random requests.
        events: how often each thing happened to them.
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
    """Run that many random requests on the device, up to the first that differs."""
    events: Counter[str] = Counter()
    compared, difference = 0, ""
    while compared < cases and not difference:
        chance = random.Random(f"{seed} {compared}")
        requests = [draw_request(chance) for _ in range(min(REQUESTS, cases - compared))]
        engine = SimulatedEngine(chance, SLOTS, device=str(device))
        try:
            engine.run(requests)
        except AssertionError as error:
            difference = str(error) or repr(error)
        events.update(engine.events)
        compared += len(requests)
    return Equality(compared, seed, dict(sorted(events.items())), difference)
