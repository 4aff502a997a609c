"""Finds the tokens of the answer in a reply, by their ids, as they arrive."""

from collections.abc import Sequence

from tenuto_decoding.matching import Hit, Step, is_added
from tenuto_decoding.plan import ThinkingPlan
from tenuto_decoding.prompt import Phase

#: A token of the reply: its position, counted from the first one, and its id.
Placed = tuple[int, int]


class ContentTokens:
    """Follows one reply. Thinking and the markers around it are left out; a tool call is content.

    A token that holds the end of one of these and the beginning of another belongs to the first. Only the ids count:
    the text may come later, for a part of it is held back where a stop string could follow.
    """

    def __init__(self, plan: ThinkingPlan, phase: Phase) -> None:
        self._table = plan.table
        self._phase = phase
        # Two searches, neither of which is ever set back: a token may complete one marker and begin the next one.
        self._state = plan.table.inside if phase is Phase.THINKING else plan.table.outside
        self._anywhere = plan.table.prompt  # finds end markers outside of thinking too
        self._ends_anywhere = is_added(plan.end.patterns[0].symbols[0])  # otherwise it may be the answer's own text
        self._count = 0
        self._has_begun = False  # a reply may begin with the end marker alone, which a cap of 0 forces
        # Tokens that may belong to a marker, each with the number of symbols from its beginning to the end of the text.
        self._pending: list[tuple[Placed, int]] = []

    def take(self, ids: Sequence[int], *, last: bool = False) -> list[Placed]:
        """The tokens that are content and were not known to be before. With `last`, none is held back."""
        found: list[Placed] = []
        for token in ids:
            found += self._take((self._count, token))
            self._count += 1
        return found + self._release(0) if last else found

    def _take(self, placed: Placed) -> list[Placed]:
        step, anywhere = self._table.step(self._state, placed[1]), self._table.step(self._anywhere, placed[1])
        self._state, self._anywhere = step.state, anywhere.state
        is_outside = self._phase is not Phase.THINKING
        found = anywhere if is_outside and not step.hit and self._closes(anywhere) else step
        size = found.size if found.hit or not is_outside else max(step.size, anywhere.size)
        self._pending = [(each, symbols + size) for each, symbols in [*self._pending, (placed, 0)]]
        if not found.hit:
            depths = self._table.depths
            return self._release(max(depths[step.state], depths[anywhere.state]) if is_outside else depths[step.state])
        before = self._release(found.length)
        self._phase = Phase.THINKING if found.hit is Hit.START else Phase.ANSWER
        if found.hit is Hit.OPENER:
            return before + self._release(0)
        self._pending = []
        return before

    def _closes(self, step: Step) -> bool:
        """Whether a token outside of thinking completes an end marker that is no text of the answer."""
        if step.hit is not Hit.END:
            return False
        symbols = self._pending[0][1] + step.size if self._pending else step.size
        return self._ends_anywhere or (self._phase is Phase.BEFORE and not self._has_begun and symbols <= step.length)

    def _release(self, kept: int) -> list[Placed]:
        """The pending tokens except for those within the last `kept` symbols; none of them while thinking."""
        released = [placed for placed, symbols in self._pending if symbols > kept or not kept]
        self._has_begun = self._has_begun or bool(released)
        self._pending = [(placed, symbols) for placed, symbols in self._pending if kept and symbols <= kept]
        return [] if self._phase is Phase.THINKING else released
