"""The phase in which a reply begins, read from the end of its prompt."""

from collections.abc import Sequence
from enum import Enum

from .matching import Hit
from .plan import ThinkingPlan


class Phase(Enum):
    """Part of the reply that the next token belongs to."""

    BEFORE = "before"
    THINKING = "thinking"
    ANSWER = "answer"


def initial_phase(plan: ThinkingPlan, prompt: Sequence[int]) -> Phase:
    """The phase in which a reply to the prompt begins.

    The last marker decides, unless an added token that is no part of it, or the text that begins a turn, follows: then
    it belongs to an earlier turn, or to quoted text, and the reply has not begun to think.
    """
    table = plan.table
    for stop in range(len(prompt), 0, -1):
        token = prompt[stop - 1]
        if token in table.completing:
            # A token has at least one symbol, so this many are enough to see the longest pattern.
            hit = table.last_hit(prompt[max(stop - table.longest, 0) : stop])
            if hit:
                return _PHASES[hit]
        if token in plan.boundaries:
            break
    return Phase.BEFORE


_PHASES = {Hit.START: Phase.THINKING, Hit.END: Phase.ANSWER, Hit.TURN: Phase.BEFORE}
