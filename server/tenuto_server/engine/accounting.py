"""Counts the thinking of every reply, token by token, and says at its end what was enforced."""

from collections.abc import Container, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from tenuto_decoding.automaton import EndedBy, ThinkingAutomaton
from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.plan import ThinkingPlan
from tenuto_decoding.prompt import Phase
from tenuto_decoding.worker_messages import Steer


@dataclass(frozen=True, slots=True)
class ChoiceReport:
    """What became of the thinking of one choice.

    Attributes:
        tokens: thinking tokens, over all blocks.
        waits: attempts to end thinking that were replaced.
        ended_by: why thinking ended; `length` where the reply ended first, `none` where there was no thinking.
        max_thinking_tokens, min_thinking_tokens: the bounds that were in force at the end.
        set_by: for each field of the budget that was set, by what: `request`, another server's name for the cap,
            `reasoning_effort`, `default` or `steering`.
        steered: how often steering took effect.
    """

    tokens: int
    waits: int
    ended_by: EndedBy
    max_thinking_tokens: int | None
    min_thinking_tokens: int
    set_by: Mapping[str, str]
    steered: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As in responses, where `steered` is left out unless the choice was."""
        shown = _SHOWN if self.steered else _SHOWN[:-1]
        return {name: getattr(self, name) for name in shown}


_SHOWN = tuple(field.name for field in fields(ChoiceReport))


#: Tokens of a choice that may wait to be followed: quicker together than one by one, and no long work at the end.
_AT_ONCE = 512


class CountedChoice:
    """One sequence of a reply.

    Attributes:
        ids: the tokens so far.
        report: what they amount to; final once `settle` was called. The tokens are followed when it is asked for.
        is_finished: whether there are no more to come.
    """

    def __init__(
        self,
        plan: ThinkingPlan,
        budget: ThinkingBudget | None,
        prompt: Sequence[int],
        set_by: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.ids: list[int] = []
        self.is_finished = False
        self._plan, self._budget, self._prompt, self._set_by = plan, budget, prompt, set_by
        self._steers: dict[int, list[int | None]] = {}  # by their positions
        self._steered = 0
        self._closers = frozenset([plan.end.ids[-1], *plan.also_ends] if plan.enforced else ())
        self._automaton = self.begin()
        self._taken = 0  # how many ids it has taken
        self._report: ChoiceReport | None = None  # of these ids, once it was asked for

    def begin(self) -> ThinkingAutomaton:
        """The automaton before the first token."""
        return ThinkingAutomaton.after(self._plan, self._prompt)

    def take(self, ids: Sequence[int]) -> bool:
        """Take newly generated tokens.

        Returns:
            Whether they ended the thinking and it left something to guess: what the engine knows of it can be asked
            for while the answer is being written.
        """
        self.ids.extend(ids)
        self._report = None
        if len(self.ids) - self._taken >= _AT_ONCE:
            self._catch_up()
        ends = not self._closers.isdisjoint(ids)
        return ends and self.needs_redirects and self._automaton.phase is Phase.ANSWER

    def _catch_up(self, fired: Container[int] | None = None, until: int | None = None) -> ThinkingAutomaton:
        """The automaton, once it has taken all ids, or those before a position; from the first one on, it can be told
        which redirects fired.
        """
        new = self.ids[self._taken : until]
        if self._steers:
            for position, token in enumerate(new, self._taken):
                for floor in self._steers.get(position, ()):
                    self._steered += self._automaton.steer(floor)
                self._automaton.advance(token, None if fired is None else position in fired)
        else:  # as nearly always; the automaton is quick about plain text
            self._automaton.advance_all(new, fired)
        self._taken += len(new)
        return self._automaton

    @property
    def needs_redirects(self) -> bool:
        """Whether the tokens do not tell what happened: a "Wait" may be the model's own, an end marker a stop's."""
        return self._catch_up().guessed

    def settle(self, redirects: Iterable[int], steers: Iterable[Steer] = (), until: int | None = None) -> None:
        """Recount, knowing at which positions a redirect fired and the choice was steered.

        Args:
            until: position from which on nothing is known of redirects; None where all is.
        """
        self._report = None
        self._steers.clear()
        for steer in steers:
            if steer.position is not None:
                self._steers.setdefault(steer.position, []).append(steer.until)
        self._automaton, self._steered, self._taken = self.begin(), 0, 0
        self._catch_up(frozenset(redirects), until)

    @property
    def report(self) -> ChoiceReport:
        if self._report is None:
            self._report = self._tell()
        return self._report

    def _tell(self) -> ChoiceReport:
        automaton, budget = self._catch_up(), self._budget
        bounds: dict[str, Any] = {
            "max_thinking_tokens": budget.max_thinking_tokens if budget else None,
            "min_thinking_tokens": budget.min_thinking_tokens if budget else 0,
        }
        steered = {name: getattr(automaton, name) for name in bounds} if self._steered else bounds
        changed = {name: "steering" for name in bounds if steered[name] != bounds[name]}
        return ChoiceReport(
            tokens=automaton.tokens,
            waits=automaton.waits,
            ended_by=automaton.ended_by,
            **steered,
            set_by={**self._set_by, **changed},
            steered=self._steered,
        )


class CountedReply:
    """All sequences of one request to the engine, by their index."""

    def __init__(
        self,
        plan: ThinkingPlan,
        budget: ThinkingBudget | None,
        prompt: Sequence[int],
        n: int,
        set_by: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.prompt = prompt
        self.choices = [CountedChoice(plan, budget, prompt, set_by) for _ in range(n)]


_collections: ContextVar[tuple[list[CountedReply], ...]] = ContextVar("collections", default=())


class Collection:
    """A context in which the accounts of replies go to these lists. It is entered for every event of a stream."""

    def __init__(self, *lists: list[CountedReply]) -> None:
        self._lists = lists

    def __enter__(self) -> None:
        self._token = _collections.set(self._lists)

    def __exit__(self, *exception: object) -> None:
        _collections.reset(self._token)


def collect_replies(into: list[CountedReply]) -> Collection:
    """The accounts of what is generated on behalf of this context; they go on growing after it is left.

    Within another collection, both get them.
    """
    return Collection(*_collections.get(), into)


def collect_nothing() -> Collection:
    """What is generated on behalf of this context is given to nobody, so that it goes as soon as it has ended."""
    return Collection()


def hand_over(reply: CountedReply) -> None:
    """Give the account of a reply to whoever collects in this context."""
    for collected in _collections.get():
        collected.append(reply)
