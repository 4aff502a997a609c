"""Splits generated text, as it arrives, into reasoning and content at the thinking markers."""

import re
from dataclasses import dataclass
from functools import cached_property

from tenuto_decoding.prompt import Phase


@dataclass(frozen=True)
class Markup:
    """The texts that a splitter acts on. Many splitters share one.

    Attributes:
        start, end: the thinking markers; removed.
        openers: other texts that end thinking, such as the opener of a tool call; kept, as content.
        dropped: texts of special tokens; removed.
        exclusive: the markers begin with a token of their own, so they are never plain text.
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
        """Matches one of the texts, the longest at its position."""
        return re.compile("|".join(map(re.escape, sorted(set(self.texts), key=len, reverse=True))))

    @cached_property
    def first_character(self) -> re.Pattern[str]:
        """Matches the first character of one of them."""
        return re.compile(f"[{re.escape(''.join(text[0] for text in self.texts))}]")

    @cached_property
    def prefixes(self) -> frozenset[str]:
        """Proper prefixes of them."""
        return frozenset(text[:size] for text in self.texts for size in range(1, len(text)))

    @cached_property
    def longest_prefix(self) -> int:
        """Length of the longest prefix, in characters."""
        return max(map(len, self.texts)) - 1


class TextSplitter:
    """Splits text that arrives in pieces, cut anywhere. What may become a marker is held back until that is known.

    Attributes:
        phase: the phase at the end of the text so far, without what is held back.
    """

    def __init__(self, markup: Markup, phase: Phase = Phase.BEFORE) -> None:
        self.phase = phase
        self._markup = markup
        self._held = ""

    def feed(self, text: str, *, last: bool = False) -> tuple[str, str]:
        """(reasoning, content) that the new text adds. With `last`, nothing is held back."""
        if not self._held and not self._markup.first_character.search(text):  # the common case
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
            parts[False] += self._pass_marker(found.group())
            rest = rest[len(found.group()) :]
        self._held = rest
        return parts[True], parts[False]

    def finish(self) -> tuple[str, str]:
        """What was held back, at the end of the text. The beginning of a marker that was cut off is dropped."""
        markers = (self._markup.start, self._markup.end) if self._markup.exclusive else ()
        if any(marker.startswith(self._held) for marker in markers):
            self._held = ""
        return self.feed("", last=True)

    def _hold_from(self, text: str) -> int:
        """Where a part begins that may become one of the texts; the length of the text if there is none."""
        markup = self._markup
        for found in markup.first_character.finditer(text, max(0, len(text) - markup.longest_prefix)):
            if text[found.start() :] in markup.prefixes:
                return found.start()
        return len(text)

    def _pass_marker(self, text: str) -> str:
        """Pass one of the texts, and return what of it is content."""
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
