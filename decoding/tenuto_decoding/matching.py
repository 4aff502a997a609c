"""Finds markers in a text that arrives token by token, however its characters are divided among the tokens.

A text is a string of symbols: a control token or another added token is one symbol, any other token is its bytes. A
marker is a pattern of symbols. Where it is spelled in ordinary characters, a tokenizer may write it in many ways, and
merge its edges with the text around it (`.</`, `>\\n\\n`); all of them are the same symbols.

The search is that of Aho and Corasick (Efficient string matching, 1975). A token is one step of it, looked up by the
token's class and the state: tokens that differ in no state share a class.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

Ids = tuple[int, ...]

#: Symbol of the added token with the id 0; the symbols below it are bytes.
_FIRST_ADDED = 256


class Hit(IntEnum):
    """What a token has completed."""

    NOTHING = 0
    START = 1
    END = 2
    OPENER = 3  # another text that leaves thinking, such as a tool-call opener
    TURN = 4  # the beginning of a reply; in prompts only


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text to find.

    Attributes:
        symbols: at least one.
        attempt: number of symbols after which the model is taken to write it: the tokens that lead there are
            redirected or masked.
        certain: number of symbols after which nothing else can be meant: an end marker is then completed by force.
    """

    symbols: str
    attempt: int
    certain: int

    @classmethod
    def of_ids(cls, ids: Ids, gate: int = 0) -> "Pattern":
        """The pattern of tokens each of which is a symbol, where all of them from the one at `gate` on are certain."""
        return cls("".join(map(symbol_of, ids)), gate + 1, gate + 1)


def symbol_of(token: int) -> str:
    """The symbol that stands for an added token."""
    return chr(_FIRST_ADDED + token)


def ids_of(symbols: Iterable[str]) -> Ids:
    """The added tokens that the symbols stand for."""
    return tuple(ord(symbol) - _FIRST_ADDED for symbol in symbols)


def is_added(symbol: str) -> bool:
    """Whether the symbol stands for an added token, which no ordinary text can produce."""
    return ord(symbol) >= _FIRST_ADDED


class Step(NamedTuple):
    """What a token does in a state.

    Attributes:
        state: the next one. After a start marker it is a state inside of thinking, after an end one outside.
        hit: what the token has completed; in a prompt the last such thing, elsewhere the first.
        size: symbols of the token, up to the completion if there is one; one more than the text in question has stands
            for any larger number.
        length: symbols of the completed pattern.
    """

    state: int
    hit: Hit
    size: int
    length: int


class MarkerTable:
    """The searches for one model's markers. Their states are numbered consecutively.

    Attributes:
        outside, inside, prompt: the first states of the searches for the start marker, for an end marker or opener, and
            for the markers and turns of a prompt.
        classes: of the tokens that do not have class 0, which leads back to a search's first state.
        steps: by class and state.
        depths: for each state, how many symbols of a pattern the text ends in.
        is_begun, is_certain: for each state, whether an end marker has begun, by `Pattern.attempt` and `.certain`.
        rests: for each state inside, the ids that complete the end marker; all of them where none has begun.
        ends: for each state inside, the tokens after which an end marker has begun; outside, a start marker.
        openers: for each state inside, the tokens after which an opener has begun.
        longest: symbols of the longest pattern in prompts.
    """

    def __init__(
        self,
        start: Sequence[Pattern],
        end: Sequence[Pattern],
        openers: Sequence[Pattern] = (),
        turns: Sequence[str] = (),
        tokens: Iterable[tuple[int, str]] | None = None,
        spell: Callable[[str], Ids] | None = None,
    ) -> None:
        """Args: tokens and spell: ids and symbols of the vocabulary, and the ids of some symbols.

        They are None where every token is a symbol.
        """
        starts = [(Hit.START, pattern) for pattern in start]
        ends = [(Hit.END, pattern) for pattern in end]
        others = [(Hit.OPENER, pattern) for pattern in openers]
        turn = [(Hit.TURN, Pattern(text, len(text), len(text))) for text in turns]
        self._states: list[_State] = []
        self.outside = self._add_search(starts)
        self.inside = self._add_search(ends + others)
        self.prompt = self._add_search(starts + ends + turn)
        patterns = [pattern.symbols for _, pattern in starts + ends + others + turn]
        self.longest = max(len(pattern.symbols) for _, pattern in starts + ends + turn)
        self.depths = [state.depth for state in self._states]
        self.is_begun = [state.has_begun(Hit.END) for state in self._states]
        self.is_certain = [state.is_certain for state in self._states]
        missing = [state.missing(end[0].symbols) for state in self._states]
        self.rests = list(map(spell or ids_of, missing))
        if tokens is None:
            tokens = ((token, symbol_of(token)) for token in ids_of(sorted(set("".join(patterns)))))
        self._classify(tokens, patterns)
        self.ends = [self._begun_by(state, (Hit.START, Hit.END)) for state in range(len(self._states))]
        self.openers = [self._begun_by(state, (Hit.OPENER,)) for state in range(len(self._states))]

    def step(self, state: int, token: int) -> Step:
        return self.steps[self.classes.get(token, 0)][state]

    def last_hit(self, tokens: Iterable[int]) -> Hit:
        """What the last of the tokens completes, read as those of a prompt; of `longest` tokens, no more matter."""
        state, hit = self.prompt, Hit.NOTHING
        for token in tokens:
            state, hit, _, _ = self.step(state, token)
        return hit

    @cached_property
    def completing(self) -> frozenset[int]:
        """Tokens that complete something in prompts."""
        states = range(self.prompt, len(self._states))
        return frozenset(token for token in self.classes if any(self.step(state, token).hit for state in states))

    @cached_property
    def changing_inside(self) -> frozenset[int]:
        """Tokens that do not leave the first state inside as it is."""
        return frozenset(token for token in self.classes if self.step(self.inside, token).state != self.inside)

    @cached_property
    def changing_outside(self) -> frozenset[int]:
        """Tokens that do not leave the first state outside as it is."""
        return frozenset(token for token in self.classes if self.step(self.outside, token).state != self.outside)

    def _add_search(self, patterns: Sequence[tuple[Hit, Pattern]]) -> int:
        """Add the states of a search; returns the first."""
        states, first = self._states, len(self._states)
        states.append(_State(first, depth=0, fallback=first))
        for hit, pattern in patterns:
            at = first
            for size, symbol in enumerate(pattern.symbols, 1):
                if symbol not in states[at].following:
                    states[at].following[symbol] = len(states)
                    states.append(_State(first, depth=size, fallback=first))
                at = states[at].following[symbol]
                states[at].begun.append((hit, pattern))
            states[at].hit = states[at].hit or (hit, len(pattern.symbols))
        # The states by depth: a fallback is less deep than its state.
        level = list(states[first].following.values())
        for at in level:
            state, shorter = states[at], states[states[at].fallback]
            state.hit = state.hit or shorter.hit
            state.ending = [(hit, pattern, state.depth) for hit, pattern in state.begun] + shorter.ending
            for symbol, after in state.following.items():
                states[after].fallback = self._after(state.fallback, symbol)
                level.append(after)
        return first

    def _after(self, at: int, symbol: str) -> int:
        """The state after a symbol."""
        state = self._states[at]
        while symbol not in state.following and state.depth:
            state = self._states[state.fallback]
        return state.following.get(symbol, state.first)

    def _walk(self, at: int, symbols: str) -> Step:
        """The step that a token with these symbols is."""
        first = self._states[at].first
        found, used = (Hit.NOTHING, 0), len(symbols)
        for size, symbol in enumerate(symbols, 1):
            at = self._after(at, symbol)
            hit = self._states[at].hit
            if hit is None or (found[0] and first != self.prompt):
                continue
            found, used = hit, size
            if first != self.prompt:
                at = self.inside if hit[0] is Hit.START else self.outside
        length = found[1] or self._states[at].depth
        return Step(at, found[0], min(used, length + 1) if length else 0, found[1])

    def _classify(self, tokens: Iterable[tuple[int, str]], patterns: Sequence[str]) -> None:
        """Fill `classes` and `steps`."""
        firsts = [state.first for state in self._states]
        # Of the states in which a symbol leads on, few are not the first: most tokens do the same in all of them.
        leading: dict[str, list[int]] = defaultdict(list)
        for at, state in enumerate(self._states):
            for symbol in {symbol for pattern in patterns for symbol in pattern}:
                if self._after(at, symbol) != self._after(state.first, symbol):
                    leading[symbol].append(at)
        known = {tuple(Step(first, Hit.NOTHING, 0, 0) for first in firsts): 0}
        self.classes: dict[int, int] = {}
        self._members: dict[int, list[int]] = defaultdict(list)
        matters = _Relevance(patterns).matters
        for token, symbols in tokens:
            if not matters(symbols):
                continue
            usual = {first: self._walk(first, symbols) for first in set(firsts)}
            row = [usual[first] for first in firsts]
            for at in leading.get(symbols[0], ()):
                row[at] = self._walk(at, symbols)
            number = known.setdefault(tuple(row), len(known))
            if number:
                self.classes[token] = number
                self._members[number].append(token)
        self.steps = list(known)

    def _begun_by(self, at: int, hits: tuple[Hit, ...]) -> Ids:
        """The tokens after which a pattern of this kind has begun."""
        return tuple(
            token
            for number, members in self._members.items()
            if (step := self.steps[number][at]).hit in hits
            or (not step.hit and any(map(self._states[step.state].has_begun, hits)))
            for token in members
        )


@dataclass(slots=True)
class _State:
    """A state of a search: the longest beginning of a pattern that the text ends in.

    Attributes:
        first: the search's first state.
        depth: the beginning's length.
        fallback: the state of the next shorter one.
        following: the state after each symbol that goes on.
        hit: what is complete here, and its length.
        begun: the patterns that begin so.
        ending: all patterns of whose beginnings the text ends in one, and its length; the longest first.
    """

    first: int
    depth: int
    fallback: int
    hit: tuple[Hit, int] | None = None
    following: dict[str, int] = field(default_factory=dict)
    begun: list[tuple[Hit, Pattern]] = field(default_factory=list)
    ending: list[tuple[Hit, Pattern, int]] = field(default_factory=list)

    def has_begun(self, hit: Hit) -> bool:
        return any(kind is hit and size >= pattern.attempt for kind, pattern, size in self.ending)

    @property
    def is_certain(self) -> bool:
        return any(kind is Hit.END and size >= pattern.certain for kind, pattern, size in self.ending)

    def missing(self, end: str) -> str:
        found = next(((pattern.symbols, size) for kind, pattern, size in self.ending if kind is Hit.END), (end, 0))
        return found[0][found[1] :]


class _Relevance:
    """Whether a token can be part of a pattern: it ends in the beginning of one, or goes on in its middle."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._whole = tuple(patterns)
        self._beginnings = tuple({text[:size] for text in patterns for size in range(1, len(text))})
        self._ends = tuple({text[at:] for text in patterns for at in range(1, len(text))})
        self._middles = {end[:size] for end in self._ends for size in range(1, len(end) + 1)}

    def matters(self, symbols: str) -> bool:
        return (
            symbols in self._middles
            or symbols.endswith(self._beginnings)
            or symbols.startswith(self._ends)
            or any(text in symbols for text in self._whole)
        )
