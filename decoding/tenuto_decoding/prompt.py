"""The phase in which a reply begins, read from the end of its prompt."""

from collections.abc import Sequence
from enum import Enum

from .plan import Ids, ThinkingPlan


class Phase(Enum):
    """Where in the reply the next token stands."""

    BEFORE = "before"
    THINKING = "thinking"
    ANSWER = "answer"


def initial_phase(plan: ThinkingPlan, prompt: Sequence[int]) -> Phase:
    """The phase in which a reply to the prompt begins.

    The last marker decides, unless a control token that is no part of it follows: then it belongs to an earlier turn,
    or to a text that somebody wrote, and the reply has not begun to think.
    """
    start, end, landmarks = plan.start.ids, plan.end.ids, plan.landmarks
    for stop in range(len(prompt), 0, -1):
        if prompt[stop - 1] not in landmarks:  # as nearly every token of a long text
            continue
        if _stands(start, prompt, stop):
            return Phase.THINKING
        if _stands(end, prompt, stop):
            return Phase.ANSWER
        if prompt[stop - 1] in plan.boundaries:
            break
    return Phase.BEFORE


def _stands(marker: Ids, prompt: Sequence[int], stop: int) -> bool:
    """Whether the marker is what the first `stop` tokens of the prompt end in."""
    size = len(marker)
    return size <= stop and prompt[stop - 1] == marker[-1] and tuple(prompt[stop - size : stop]) == marker
