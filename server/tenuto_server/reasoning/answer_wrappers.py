"""Leaves out the texts that some models write around an answer and that are no part of it, such as `<response>`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

#: How many line breaks before or after a wrapper go with it. What may be one of them is held back.
MOST_BREAKS = 4


@dataclass(frozen=True)
class AnswerWrappers:
    """The wrappers of one model family. They are left out at the beginning and at the end of an answer only.

    Attributes:
        texts: without line breaks around them.
    """

    texts: tuple[str, ...] = ()

    @property
    def most(self) -> int:
        """How many in a row are left out: half of them begin an answer, and half of them end it."""
        return (len(self.texts) + 1) // 2

    @cached_property
    def opening(self) -> re.Pattern[str]:
        """Matches a wrapper at the beginning of a text, with white space before it."""
        return re.compile(rf"\s{{0,{MOST_BREAKS}}}(?:{_any(self.texts)})")

    @cached_property
    def beginning(self) -> re.Pattern[str]:
        """Matches a whole text that may become one that `opening` matches."""
        return re.compile(rf"\s{{0,{MOST_BREAKS}}}(?:{_any(_prefixes(self.texts))})\Z")

    @cached_property
    def closing(self) -> re.Pattern[str]:
        """Matches a whole text of wrappers, with the line breaks around them."""
        return re.compile(rf"(?:{self._one}){{1,{self.most}}}\s{{0,{MOST_BREAKS}}}")

    @cached_property
    def held(self) -> re.Pattern[str]:
        """Matches the longest end of a text that may become one that `closing` matches; it may be empty."""
        part = rf"\n{{0,{MOST_BREAKS}}}(?:{_any(_prefixes(self.texts))})"
        last = rf"{self._one}\s{{0,{MOST_BREAKS}}}"
        return re.compile(rf"(?:{self._one}){{0,{self.most - 1}}}(?:{last}|{part})\Z")

    @property
    def _one(self) -> str:
        return rf"\n{{0,{MOST_BREAKS}}}(?:{_any(self.texts)})"

    def opening_size(self, text: str) -> int:
        """How many characters of an answer are wrappers at its beginning, with the line breaks after them."""
        size = 0
        for _ in range(self.most):
            found = self.opening.match(text, size)
            size = found.end() if found else size
        breaks = len(text) - size - len(text[size:].lstrip("\n"))
        return size + min(breaks, MOST_BREAKS) if size else 0


NO_WRAPPERS = AnswerWrappers()


class AnswerText:
    """Passes on the text of one answer, which arrives in pieces, cut anywhere, without its wrappers."""

    def __init__(self, wrappers: AnswerWrappers) -> None:
        self._wrappers = wrappers
        self._held = ""
        self._left = wrappers.most  # how many wrappers may still begin the answer
        self._breaks = 0  # how many line breaks may still go with them

    def feed(self, text: str) -> str:
        """What the new text adds to the answer."""
        if not self._wrappers.texts:
            return text
        self._held += text
        if self._left and not self._begin():
            return ""
        if self._breaks:
            rest = self._held.lstrip("\n")
            dropped = min(len(self._held) - len(rest), self._breaks)
            self._held = self._held[dropped:]
            self._breaks = 0 if self._held else self._breaks - dropped
        found = self._wrappers.held.search(self._held)
        assert found is not None, "it matches the end of any text"
        new, self._held = self._held[: found.start()], found.group()
        return new

    def finish(self) -> str:
        """What was held back, at the end of the answer."""
        held, self._held = self._held, ""
        if self._wrappers.texts and self._wrappers.closing.fullmatch(held):
            return ""
        return held

    def _begin(self) -> bool:
        """Whether it is known how the answer begins; wrappers there are dropped."""
        while self._left:
            opening = self._wrappers.opening.match(self._held)
            if opening is not None:
                self._held, self._breaks = self._held[opening.end() :], MOST_BREAKS
                self._left -= 1
            elif self._wrappers.beginning.match(self._held):
                return False
            else:
                self._left = 0
        return True


def _any(texts: Sequence[str]) -> str:
    return "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))


def _prefixes(texts: Sequence[str]) -> list[str]:
    """Proper prefixes, the empty one too."""
    return [text[:size] for text in texts for size in range(len(text))]
