"""Counts the thinking of every reply, token by token, and reports at its end what was enforced."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from time import monotonic
from typing import Any, Self

from tenuto_decoding.automaton import EndedBy, ThinkingAutomaton
from tenuto_decoding.prompt import Phase
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
        is_recorded: whether the metrics have it among those that have ended.
        answer_from: position of the first token after the last thinking; None before that and while thinking.
        first_token, first_thinking, first_answer: when the first token of all, of the thinking and after it came, by
            `time.monotonic`; None for what has not come. `first_answer` is after the first of several thinking blocks.
        ended: when the last token came.
        make_span: makes vLLM's span of it, which is held back until the report is final.
        revision: how often it was counted again, knowing more.
    """

    def __init__(self, resolved: ResolvedBudget) -> None:
        self.ids: list[int] = []
        self.is_finished = False
        self.is_recorded = False
        self.first_token: float | None = None
        self.first_thinking: float | None = None
        self.first_answer: float | None = None
        self.ended: float | None = None
        self.make_span: Callable[[], None] | None = None
        self._resolved = resolved
        self._begin()
        self._steers: dict[int, list[int | None]] = {}  # by position
        self._fired: frozenset[int] = frozenset()  # positions of redirects, of which all before `_settled` are known
        self._settled = 0
        self.revision = 0

    def _begin(self) -> None:
        self._automaton: ThinkingAutomaton = self._resolved.start()
        self._steered = 0
        self.answer_from = 0 if self._automaton.phase is Phase.ANSWER else None

    def take(self, ids: Sequence[int]) -> None:
        """Count newly generated tokens."""
        position = len(self.ids)
        self.ids.extend(ids)
        if self._steers:
            self._follow(position)
        else:
            automaton, phase = self._automaton, self._automaton.phase
            for token in ids:
                automaton.advance(token)
                position += 1
                if automaton.phase is not phase:
                    phase = automaton.phase
                    self.answer_from = position if phase is Phase.ANSWER else None
        if self.first_answer is None and (self.first_thinking is None or self.answer_from is not None):
            self._note_first()

    def _note_first(self) -> None:
        """Note when the first tokens came. It is called while there is one to wait for, but not while thinking."""
        if self.first_token is None and self.ids:
            self.first_token = monotonic()
        if self._automaton.phase is Phase.BEFORE:
            return
        if self.first_thinking is None and self._automaton.tokens:
            self.first_thinking = monotonic()
        if self.answer_from is not None and self.answer_from < len(self.ids):
            self.first_answer = monotonic()

    def end(self) -> None:
        """The last token has come, or never will: note when, the first time."""
        if self.ended is None:
            self.ended = monotonic()

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
        self._begin()
        self._fired, self._settled = frozenset(redirects), len(self.ids)
        self.revision += 1
        self._follow(0)

    def _follow(self, start: int) -> None:
        """Advance over the ids from a position on, steering on the way."""
        automaton = self._automaton
        for position in range(start, len(self.ids)):
            if self._steers:
                self._steered += self.steer_at(automaton, position)
            before = automaton.phase
            self.advance_at(automaton, position)
            if automaton.phase is not before:
                self.answer_from = position + 1 if automaton.phase is Phase.ANSWER else None

    # For those who follow the choice with an automaton of their own

    def start(self) -> ThinkingAutomaton:
        """An automaton before the first token."""
        return self._resolved.start()

    def steer_at(self, automaton: ThinkingAutomaton, position: int) -> int:
        """Steer an automaton as the choice was before a position; how often that had effect."""
        return sum(automaton.steer(until) for until in self._steers.get(position, ()))

    def advance_at(self, automaton: ThinkingAutomaton, position: int) -> None:
        """Advance an automaton over the token at a position."""
        redirected = position in self._fired if position < self._settled else None
        automaton.advance(self.ids[position], redirected)

    @property
    def automaton(self) -> ThinkingAutomaton:
        """Where the choice is now. It is replaced by `settle`; do not change it."""
        return self._automaton

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
