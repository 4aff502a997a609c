"""Finds the texts in a reply that the server wrote instead of the model: waits, forced ends, beginnings of answers."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from tenuto_decoding.actions import Force
from tenuto_decoding.prompt import Phase

from .accounting import CountedChoice

Kind = Literal["wait", "end", "answer"]


@dataclass(frozen=True, slots=True)
class ForcedSpan:
    """A text that was forced.

    Attributes:
        kind: `wait` replaced an attempt to stop; `end` was written before the end marker (a cap text or a line feed, or
            nothing, where the marker alone was forced); `answer` begins the answer.
        start: its offset in Unicode characters: in the reasoning, or in the content for `answer`.
        text: the forced text.
    """

    kind: Kind
    start: int
    text: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class ForcedText:
    """Follows one choice while its tokens arrive.

    Args:
        choice: whose tokens are followed.
        tokenizer: of the model.
        skip_special_tokens: whether the reply's text leaves special tokens out.
    """

    def __init__(self, choice: CountedChoice, tokenizer: Any, *, skip_special_tokens: bool = True) -> None:
        self._choice, self._tokenizer, self._skips = choice, tokenizer, skip_special_tokens
        self._reported = 0
        self._restart()

    def _restart(self) -> None:
        self._revision = self._choice.revision
        self._automaton = self._choice.start()
        self._position = 0
        self._thinking: list[int] = []  # tokens of the reasoning's text, and of an end marker that has begun
        self._measured = (0, 0)  # tokens at the beginning of these, and their characters
        self._run: tuple[Kind, int] | None = None  # forced tokens just before the position, and the first
        self._answer: list[int] = []  # forced tokens outside of thinking
        self._spans: list[ForcedSpan] = []

    def new_spans(self) -> list[ForcedSpan]:
        """The texts found since the last call. They are final only once the choice is; then ask for `all_spans`."""
        self._follow()
        found, self._reported = self._spans[self._reported :], len(self._spans)
        return found

    def all_spans(self) -> list[ForcedSpan]:
        """All forced texts of a choice that has ended, with what the engine's workers know of it."""
        self._follow()
        self._end_run()
        return self._spans

    def _follow(self) -> None:
        if self._revision != self._choice.revision:
            self._restart()
        for position in range(self._position, len(self._choice.ids)):
            self._step(position)
        self._position = len(self._choice.ids)

    def _step(self, position: int) -> None:
        automaton, token = self._automaton, self._choice.ids[position]
        self._choice.steer_at(automaton, position)
        phase, waits, action = automaton.phase, automaton.waits, automaton.action()
        is_wait = automaton.is_steerable
        is_forced = isinstance(action, Force) and action.token == token
        self._choice.advance_at(automaton, position)
        if phase is Phase.THINKING:
            begins = automaton.waits > waits
            replaced_stop = automaton.ended_by == "stop_token" and token not in automaton.plan.stops
            if begins or not (is_forced or replaced_stop):
                self._end_run()
            if begins or is_forced or replaced_stop:
                kind: Kind = "wait" if begins or (is_forced and is_wait) else "end"
                if self._run is not None and self._run[0] != kind:
                    self._end_run(is_cut=True)  # the closing begins, maybe within a wait text
                self._run = self._run or (kind, len(self._thinking))
            self._thinking.append(token)
            if automaton.phase is not Phase.THINKING:
                self._leave_thinking()
        elif is_forced and phase is Phase.ANSWER:
            self._answer.append(token)
        elif self._answer:
            self._end_answer()

    def _leave_thinking(self) -> None:
        """Take the end marker off the reasoning."""
        end = self._automaton.plan.end.ids
        del self._thinking[max(len(self._thinking) - len(end), 0) :]
        if self._automaton.ended_by == "model":
            self._run = None  # the model began its end marker, and only the rest was forced
        elif self._run is not None:
            self._run = (self._run[0], min(self._run[1], len(self._thinking)))
        self._end_run()

    def _end_run(self, *, is_cut: bool = False) -> None:
        if self._run is not None and (is_cut or not self._is_wrong_guess(*self._run)):
            kind, first = self._run
            start, end = self._characters(first), self._characters(len(self._thinking))
            text = self._decode(self._thinking[max(first - 1, 0) :])
            self._spans.append(ForcedSpan(kind, start, text[len(text) - (end - start) :] if end > start else ""))
        self._run = None
        self._end_answer()

    def _is_wrong_guess(self, kind: Kind, first: int) -> bool:
        """Whether the model only wrote, on its own, what a wait text begins with, and something else after it."""
        tokens = tuple(self._thinking[first:])
        waits = self._automaton.plan.waits
        return kind == "wait" and self._position < len(self._choice.ids) and tokens not in waits

    def _end_answer(self) -> None:
        """What was forced outside of thinking: after an end marker, it begins the answer."""
        end = list(self._automaton.plan.end.ids)
        tokens, self._answer = self._answer, []
        for at in range(len(tokens) - len(end), -1, -1):
            if tokens[at : at + len(end)] == end:
                tokens = tokens[at + len(end) :]
                break
        if text := self._decode(tokens):
            self._spans.append(ForcedSpan("answer", 0, text))

    def _characters(self, tokens: int) -> int:
        """Characters of that many first tokens of the reasoning. A token before them keeps its leading space."""
        known, characters = self._measured
        if tokens < known:
            known, characters = 0, 0
        anchor = max(known - 1, 0)
        before, after = self._thinking[anchor:known], self._thinking[anchor:tokens]
        characters += len(self._decode(after)) - len(self._decode(before))
        self._measured = (tokens, characters)
        return characters

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=self._skips)) if ids else ""
