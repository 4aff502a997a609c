"""Splits generated text, as it arrives, into reasoning and content at the thinking markers."""

import re
from dataclasses import dataclass
from functools import cached_property

from tenuto_decoding.prompt import Phase


@dataclass(frozen=True)
class Markup:
    """The texts that mean something in generated text. Many splitters share one.

    Attributes:
        start, end: the thinking markers; removed.
        openers: other texts that end thinking, such as a tool call's opener; kept, as content.
        dropped: texts of control tokens; removed.
        exclusive: the markers begin with a token of their own, so they are markup wherever they stand.
    """

    start: str
    end: str
    openers: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    exclusive: bool = True

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.start, self.end, *self.openers, *self.dropped)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """One of the texts; the longest that stands in a place."""
        return re.compile("|".join(map(re.escape, sorted(set(self.texts), key=len, reverse=True))))

    @cached_property
    def first(self) -> re.Pattern[str]:
        """The first character of one of them."""
        return re.compile(f"[{re.escape(''.join(text[0] for text in self.texts))}]")

    @cached_property
    def beginnings(self) -> frozenset[str]:
        """What may still become one of them."""
        return frozenset(text[:size] for text in self.texts for size in range(1, len(text)))

    @cached_property
    def longest_beginning(self) -> int:
        """Its number of characters."""
        return max(map(len, self.texts)) - 1


class TextSplitter:
    """Feed it text in pieces cut anywhere; what may still become a marker is held back until it is known.

    Attributes:
        phase: where the text fed so far, less what is held back, ends.
    """

    def __init__(self, markup: Markup, phase: Phase = Phase.BEFORE) -> None:
        self.phase = phase
        self._markup = markup
        self._held = ""

    def feed(self, text: str, *, last: bool = False) -> tuple[str, str]:
        """(reasoning, content) that the new text adds; with `last`, nothing is held back any more."""
        if not self._held and not self._markup.first.search(text):  # as most text: none of them begins here
            return (text, "") if self.phase is Phase.THINKING else ("", text)
        parts = {True: "", False: ""}
        rest = self._held + text
        while rest:
            found = self._markup.pattern.search(rest)
            kept = len(rest) if last else self._hold_from(rest)
            cut = min(found.start() if found else kept, kept)
            parts[self.phase is Phase.THINKING] += rest[:cut]
            rest = rest[cut:]
            if found is None or cut < found.start() or kept <= found.start():
                break
            parts[False] += self._meet(found.group())
            rest = rest[len(found.group()) :]
        self._held = rest
        return parts[True], parts[False]

    def finish(self) -> tuple[str, str]:
        """What was held back, now that no more comes; the beginning of a marker that was cut off is dropped."""
        markers = (self._markup.start, self._markup.end) if self._markup.exclusive else ()
        if any(marker.startswith(self._held) for marker in markers):
            self._held = ""
        return self.feed("", last=True)

    def _hold_from(self, text: str) -> int:
        """Where the part begins that could still grow into one of the texts; the text's length if there is none."""
        markup = self._markup
        for found in markup.first.finditer(text, max(0, len(text) - markup.longest_beginning)):
            if text[found.start() :] in markup.beginnings:
                return found.start()
        return len(text)

    def _meet(self, text: str) -> str:
        """Cross a marker; what of it belongs to the content."""
        markup = self._markup
        if text == markup.start:
            self.phase = Phase.THINKING
            return ""
        if text == markup.end and (self.phase is Phase.THINKING or markup.exclusive):
            self.phase = Phase.ANSWER
            return ""
        if text in markup.openers:
            self.phase = Phase.ANSWER if self.phase is Phase.THINKING else self.phase
            return text
        return "" if text in markup.dropped else text
