"""A model that wants to write a certain text, token by token, under a plan that may force or redirect its tokens."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenuto_decoding import Force, Phase, Redirect, ThinkingAutomaton, ThinkingPlan

from .random_model import Ids
from .tokenizations import random_tokenization

Tokenize = Callable[[str], Ids]


@dataclass
class Written:
    """What became of a reply.

    Attributes:
        automaton: after the last token.
        ids: of the reply.
        wanted: what the model would have written at each position; where a token was forced, the end of its reply.
        forced: positions of forced tokens.
        redirected: positions of tokens that replaced an attempt to stop.
        masked: positions of tokens in place of one that was kept from appearing.
    """

    automaton: ThinkingAutomaton
    ids: list[int] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    forced: set[int] = field(default_factory=set)
    redirected: set[int] = field(default_factory=set)
    masked: set[int] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class ScriptedModel:
    """What the model writes of its own accord.

    Attributes:
        attempts: its thinking, with the end marker at the end; the next one where the end marker was redirected.
        answer: what it writes after an end marker, its own or a forced one.
        tokenize: divides a text into tokens.
        other: token in place of one that was masked.
        stop: token that ends a reply.
    """

    attempts: Sequence[str]
    answer: str
    tokenize: Tokenize
    other: int
    stop: int

    def write(self, plan: ThinkingPlan, prompt: Ids) -> Written:
        written = Written(ThinkingAutomaton.after(plan, prompt))
        attempts = iter(self.attempts)
        wanted = self._attempt(attempts)
        while True:
            automaton = written.automaton
            action = automaton.action()
            if isinstance(action, Force):
                was_thinking = automaton.phase is Phase.THINKING
                written.forced.add(len(written.ids))
                written.wanted.append(self.stop)
                written.ids.append(action.token)
                automaton.advance(action.token, False)
                if was_thinking and automaton.phase is Phase.ANSWER:
                    wanted = iter(self.tokenize(self.answer))
                continue
            token = next(wanted, None)
            if token is None:
                return written
            written.wanted.append(token)
            redirected = isinstance(action, Redirect) and token in action.sources
            if isinstance(action, Redirect) and redirected:
                if action.target is None:
                    written.masked.add(len(written.ids))
                token = self.other if action.target is None else action.target
                if automaton.phase is Phase.THINKING:
                    written.redirected.add(len(written.ids))
                    wanted = self._attempt(attempts)
            written.ids.append(token)
            automaton.advance(token, redirected)

    def _attempt(self, attempts: Iterator[str]) -> Iterator[int]:
        return iter(self.tokenize(next(attempts) + self.answer))


def tokenizers(tokenizer: Any, chance: random.Random) -> tuple[Tokenize, Tokenize]:
    """Two ways to divide a text: as the tokenizer does, and any other."""
    return (
        lambda text: tuple(tokenizer.encode(text, add_special_tokens=False)),
        lambda text: random_tokenization(tokenizer, text, chance),
    )
