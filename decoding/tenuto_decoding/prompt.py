"""The phase in which a reply begins, read from the end of its prompt."""

from collections.abc import Sequence
from enum import Enum

from .plan import Ids, ThinkingPlan


class Phase(Enum):
    """Part of the reply that the next token belongs to."""

    BEFORE = "before"
    THINKING = "thinking"
    ANSWER = "answer"


def initial_phase(plan: ThinkingPlan, prompt: Sequence[int]) -> Phase:
    """The phase in which a reply to the prompt begins.

    The last marker decides, unless a control token that is no part of it follows: then it belongs to an earlier turn,
    or to quoted text, and the reply has not begun to think.
    """
    start, end, boundaries = plan.start.ids, plan.end.ids, plan.boundaries
    last_ids = start[-1], end[-1]
    for stop in range(len(prompt), 0, -1):
        token = prompt[stop - 1]
        if token in last_ids:
            if _ends_in(prompt, stop, start):
                return Phase.THINKING
            if _ends_in(prompt, stop, end):
                return Phase.ANSWER
        if token in boundaries:
            break
    return Phase.BEFORE


def _ends_in(prompt: Sequence[int], stop: int, marker: Ids) -> bool:
    """Whether the first `stop` tokens of the prompt end in the marker."""
    size = len(marker)
    return size <= stop and tuple(prompt[stop - size : stop]) == marker
