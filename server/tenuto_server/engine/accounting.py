"""Counts the thinking of every reply, token by token, and reports at its end what was enforced."""

from collections.abc import Container, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from tenuto_decoding.automaton import EndedBy
from tenuto_decoding.worker_messages import Steer

from ..budgets.resolution import ResolvedBudget


@dataclass(frozen=True, slots=True)
class ChoiceReport:
    """What was enforced on the thinking of one choice.

    Attributes:
        tokens: thinking tokens, over all blocks.
        waits: attempts to stop that were replaced.
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

    def without_tokens(self) -> Self:
        """The report of a choice whose tokens were dropped."""
        return replace(self, tokens=0, waits=0, ended_by="none")

    def to_dict(self) -> dict[str, Any]:
        """As in responses, where `steered` is left out unless the choice was."""
        shown = _FIELDS if self.steered else _FIELDS[:-1]
        return {name: getattr(self, name) for name in shown}


_FIELDS = tuple(field.name for field in fields(ChoiceReport))


class CountedChoice:
    """One sequence of a reply.

    Attributes:
        ids: the tokens so far.
        is_finished: whether there are no more to come.
    """

    def __init__(self, resolved: ResolvedBudget) -> None:
        self.ids: list[int] = []
        self.is_finished = False
        self._resolved = resolved
        self._automaton = resolved.start()
        self._steers: dict[int, list[int | None]] = {}  # by position
        self._steered = 0

    def take(self, ids: Sequence[int]) -> None:
        """Count newly generated tokens."""
        start = len(self.ids)
        self.ids.extend(ids)
        if self._steers:
            self._follow(start)
        else:
            self._automaton.advance_all(ids)

    @property
    def needs_redirects(self) -> bool:
        """Whether the tokens leave open what happened: a "Wait" may be the model's own, an end marker a stop's."""
        return self._automaton.has_guessed and self._resolved.asks_workers

    def settle(self, redirects: Iterable[int], steers: Iterable[Steer] = ()) -> None:
        """Count again, knowing at which positions a redirect fired and the choice was or will be steered."""
        self._steers = {}
        for steer in steers:
            if steer.position is not None:
                self._steers.setdefault(steer.position, []).append(steer.until)
        self._automaton, self._steered = self._resolved.start(), 0
        self._follow(0, frozenset(redirects))

    def _follow(self, start: int, fired: Container[int] | None = None) -> None:
        """Advance over the ids from a position on, steering on the way; `fired` is None where it is not known."""
        for position in range(start, len(self.ids)):
            for until in self._steers.get(position, ()):
                self._steered += self._automaton.steer(until)
            self._automaton.advance(self.ids[position], None if fired is None else position in fired)

    @property
    def report(self) -> ChoiceReport:
        """What was enforced so far; final once the choice is finished and `settle` was called where it is needed."""
        automaton, budget = self._automaton, self._resolved.budget
        bounds: dict[str, Any] = {
            "max_thinking_tokens": budget.max_thinking_tokens if budget else None,
            "min_thinking_tokens": budget.min_thinking_tokens if budget else 0,
        }
        in_force = {name: getattr(automaton, name) for name in bounds} if self._steered else bounds
        changed = {name: "steering" for name in bounds if in_force[name] != bounds[name]}
        return ChoiceReport(
            tokens=automaton.tokens,
            waits=automaton.waits,
            ended_by=automaton.ended_by,
            **in_force,
            set_by={**self._resolved.set_by, **changed},
            steered=self._steered,
        )


class CountedReply:
    """All sequences of one request to the engine, by their index."""

    def __init__(self, resolved: ResolvedBudget, prompt: Sequence[int], n: int) -> None:
        self.resolved = resolved
        self.prompt = prompt
        self.choices = [CountedChoice(resolved) for _ in range(n)]


_collections: ContextVar[tuple[list[CountedReply], ...]] = ContextVar("collections", default=())


class Collection:
    """A context in which counted replies are added to these lists. It is entered for every event of a stream."""

    def __init__(self, *lists: list[CountedReply]) -> None:
        self._lists = lists

    def __enter__(self) -> None:
        self._token = _collections.set(self._lists)

    def __exit__(self, *exception: object) -> None:
        _collections.reset(self._token)


def collect_replies(into: list[CountedReply]) -> Collection:
    """Collect what is generated on behalf of this context; the replies go on growing after it is left.

    Within another collection, both lists get them.
    """
    return Collection(*_collections.get(), into)


def collect_nothing() -> Collection:
    """Keep no reply that is generated on behalf of this context, so that it is freed as soon as it has ended."""
    return Collection()


def hand_over(reply: CountedReply) -> None:
    """Add a reply to all lists that collect in this context."""
    for collected in _collections.get():
        collected.append(reply)
