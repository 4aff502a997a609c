"""Finds the tokens of the answer in a reply, by their ids, as they arrive."""

from collections.abc import Sequence

from tenuto_decoding.plan import MarkerMatch, ThinkingPlan
from tenuto_decoding.prompt import Phase

#: A token of the reply: its position, counted from the first one, and its id.
Placed = tuple[int, int]


class ContentTokens:
    """Follows one reply. Thinking and the markers around it are left out; a tool call is content.

    Only the ids count: the text may come later, for a part of it is held back where a stop string could follow.
    """

    def __init__(self, plan: ThinkingPlan, phase: Phase) -> None:
        self._plan = plan
        self._phase = phase
        self._start, self._end = MarkerMatch(plan.start), MarkerMatch(plan.end)
        self._count = 0
        self._pending: list[Placed] = []  # tokens that may belong to a marker

    def take(self, ids: Sequence[int], *, last: bool = False) -> list[Placed]:
        """The tokens that are content and were not known to be before. With `last`, none is held back."""
        found: list[Placed] = []
        for token in ids:
            self._pending.append((self._count, token))
            self._count += 1
            found += self._take(token)
        return found + self._release(0) if last else found

    def _take(self, token: int) -> list[Placed]:
        opens, closes = self._start.take(token), self._end.take(token)
        if opens or (closes and (self._phase is Phase.THINKING or self._plan.end.gate == 0)):
            size = len(self._start.marker.ids if opens else self._end.marker.ids)
            before = self._release(size)
            self._phase, self._pending = Phase.THINKING if opens else Phase.ANSWER, []
            self._start.matched = self._end.matched = 0
            return before
        if token in self._plan.also_ends and self._phase is Phase.THINKING:
            before = self._release(1)
            self._phase = Phase.ANSWER
            return before + self._release(0)
        if closes:  # ordinary text that is spelt like the end marker
            self._end.matched = 0
        return self._release(max(self._start.matched, self._end.matched))

    def _release(self, kept: int) -> list[Placed]:
        """The pending tokens except for the last `kept`; none of them while thinking."""
        cut = len(self._pending) - kept
        released, self._pending = self._pending[:cut], self._pending[cut:]
        return [] if self._phase is Phase.THINKING else released
