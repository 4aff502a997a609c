"""Splits generated text, as it arrives, into reasoning and content at the thinking markers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from tenuto_decoding.prompt import Phase

from .answer_wrappers import NO_WRAPPERS, AnswerText, AnswerWrappers

#: Markup that models write around a marker that is a phrase: a heading's signs, and those of emphasis.
_HEADING, _EMPHASIS = "#{1,6} ", r"\*{1,3}|_{1,3}"
_MOST_MARKUP = 10
#: Matches the beginning of such markup, whatever follows it.
_MARKUP = re.compile(rf"(?:#{{1,6}}(?: |\Z))?(?:{_EMPHASIS})?")


@dataclass(frozen=True)
class Markup:
    """The texts that a splitter acts on. Many splitters share one.

    Attributes:
        start, end: the thinking markers; removed.
        start_spellings, end_spellings: other texts of the same meaning.
        openers: other texts that end thinking, such as the opener of a tool call; kept, as content.
        dropped: texts of special tokens; removed.
        wrappers: texts around an answer; removed.
        no_thinking: what the chat template writes in place of thinking: such a block is no reasoning.
        exclusive: the markers begin with a token of their own, so they are never plain text.
    """

    start: str
    end: str
    start_spellings: tuple[str, ...] = ()
    end_spellings: tuple[str, ...] = ()
    openers: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    wrappers: AnswerWrappers = NO_WRAPPERS
    no_thinking: str = ""
    exclusive: bool = True

    @cached_property
    def starts(self) -> tuple[str, ...]:
        return (self.start, *self.start_spellings)

    @cached_property
    def ends(self) -> tuple[str, ...]:
        return (self.end, *self.end_spellings)

    @property
    def texts(self) -> tuple[str, ...]:
        return (*self.starts, *self.ends, *self.openers, *self.removed)

    @cached_property
    def phrases(self) -> tuple[str, ...]:
        """The markers that are words, and so may have markup around them, which is removed with them."""
        return tuple(text for text in (*self.starts, *self.ends) if text[0].isalpha())

    @cached_property
    def nothing(self) -> tuple[str, ...]:
        """Texts of a block in which nothing is thought; the prompt may have written their first line break."""
        before, end, _ = self.no_thinking.partition(self.end)
        inside = before.rpartition(self.start)[2]
        return tuple(text for text in (inside, inside.removeprefix("\n")) if text) if end else ()

    @cached_property
    def removed(self) -> tuple[str, ...]:
        """What is removed wherever it is: texts of special tokens, and wrappers that hold one."""
        wrappers = self.wrappers.texts
        return (*self.dropped, *(text for text in wrappers if any(special in text for special in self.dropped)))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches one of the texts, the longest at its position; groups are the emphasis before a phrase, and texts."""
        pattern = f"({_any(self.texts)})"
        if self.phrases:
            pattern = f"(?:{_HEADING})?(?P<emphasis>{_EMPHASIS})?(?P<phrase>{_any(self.phrases)})|{pattern}"
        return re.compile(pattern)

    @cached_property
    def first_character(self) -> re.Pattern[str]:
        """Matches the first character of one of them."""
        first = {text[0] for text in self.texts} | set("#*_" if self.phrases else "")
        return re.compile(f"[{re.escape(''.join(sorted(first)))}]")

    @cached_property
    def prefixes(self) -> frozenset[str]:
        """Proper prefixes of them."""
        return _prefixes(self.texts)

    @cached_property
    def longest_prefix(self) -> int:
        """Length of the longest text that may become one of them, in characters."""
        return max(map(len, self.texts)) - 1 + (_MOST_MARKUP if self.phrases else 0)

    @cached_property
    def phrase_prefixes(self) -> frozenset[str]:
        """Those of phrases, the empty one too."""
        return _prefixes(self.phrases) | {""}

    def may_become_one(self, text: str) -> bool:
        """Whether a whole text is the beginning of one of them, or of markup before a phrase."""
        if text in self.prefixes:
            return True
        found = _MARKUP.match(text)
        return bool(self.phrases and found and found.end() and text[found.end() :] in self.phrase_prefixes)

    def closes_unopened(self, text: str) -> bool:
        """Whether a whole text closes thinking that it did not open."""
        first = min((place for end in self.ends if (place := text.find(end)) >= 0), default=None)
        return first is not None and not any(start in text[:first] for start in self.starts)

    def pieces(self, text: str) -> list[str]:
        """The text, cut after each start of thinking: in no piece is there content before thinking."""
        cuts = [0, *(found.end() for found in re.finditer(_any(self.starts), text)), len(text)]
        return [text[begin:end] for begin, end in pairwise(cuts) if begin < end] or [text]


class TextSplitter:
    """Splits text that arrives in pieces, cut anywhere. What may become a marker is held back until that is known.

    Attributes:
        phase: the phase at the end of the text so far, without what is held back.
    """

    def __init__(self, markup: Markup, phase: Phase = Phase.BEFORE) -> None:
        self.phase = phase
        self._markup = markup
        self._held = ""
        self._emphasis = ""  # that goes with the phrase before it, if it follows
        self._nothing: str | None = ""  # the text of a block so far, while nothing may be thought in it
        self._answer = AnswerText(markup.wrappers)
        self._has_begun = False

    def feed(self, text: str, *, last: bool = False) -> tuple[str, str]:
        """(reasoning, content) that the new text adds. With `last`, nothing is held back."""
        if not last and not self._held and not self._emphasis and not self._markup.first_character.search(text):
            return self._split(text)  # the common case
        reasoning = content = ""
        rest = self._held + text
        while rest:
            if self._emphasis:
                if len(rest) < len(self._emphasis) and self._emphasis.startswith(rest) and not last:
                    break
                rest, self._emphasis = rest.removeprefix(self._emphasis), ""
            found = self._markup.pattern.search(rest)
            kept = len(rest) if last else self._hold_from(rest)
            cut = min(found.start() if found else kept, kept)
            is_marker = found is not None and cut == found.start() < kept
            for new in (self._split(rest[:cut]), self._pass_marker(found) if found and is_marker else ("", "")):
                reasoning, content = reasoning + new[0], content + new[1]
            if found is None or not is_marker:
                rest = rest[cut:]
                break
            rest = rest[found.end() :]
        self._held = rest
        ending = self._end_part() if last else ("", "")
        return reasoning + ending[0], content + ending[1]

    def finish(self) -> tuple[str, str]:
        """What was held back, at the end of the text. The beginning of a marker that was cut off is dropped."""
        markers = (*self._markup.starts, *self._markup.ends, *self._markup.removed) if self._markup.exclusive else ()
        if any(marker.startswith(self._held) for marker in markers):
            self._held = ""
        return self.feed("", last=True)

    def _split(self, text: str) -> tuple[str, str]:
        """(reasoning, content) of a text without markers."""
        self._has_begun = self._has_begun or bool(text)
        if self.phase is not Phase.THINKING:
            return "", self._answer.feed(text)
        if self._nothing is not None:
            text, self._nothing = self._nothing + text, None
            if any(nothing.startswith(text) for nothing in self._markup.nothing):
                text, self._nothing = "", text
        return text, ""

    def _hold_from(self, text: str) -> int:
        """Where a part begins that may become one of the texts; the length of the text if there is none."""
        markup = self._markup
        for found in markup.first_character.finditer(text, max(0, len(text) - markup.longest_prefix)):
            if markup.may_become_one(text[found.start() :]):
                return found.start()
        return len(text)

    def _pass_marker(self, found: re.Match[str]) -> tuple[str, str]:
        """Pass one of the texts: (reasoning, content) that it adds, and that was held back before it."""
        markup, groups = self._markup, found.groupdict()
        text = groups.get("phrase") or found.group()
        # A reply may begin with the end marker alone: a cap of 0 forces it where thinking was not opened.
        is_first, self._has_begun = not self._has_begun and self.phase is Phase.BEFORE, True
        if text in markup.starts:
            return self._begin_part(Phase.THINKING, groups)
        if text in markup.ends and (self.phase is Phase.THINKING or markup.exclusive or is_first):
            return self._begin_part(Phase.ANSWER, groups)
        if text in markup.openers:
            reasoning, content = self._begin_part(Phase.ANSWER if self.phase is Phase.THINKING else self.phase, {})
            if text in markup.wrappers.texts:  # it opens the answer, not a call
                return reasoning, content + self._answer.feed(text)
            self._answer = AnswerText(NO_WRAPPERS)  # of the call nothing is left out
            return reasoning, content + text
        return "", "" if text in markup.removed else self._answer.feed(found.group())

    def _begin_part(self, phase: Phase, groups: Mapping[str, str | None]) -> tuple[str, str]:
        """Begin a part of the text with a marker: (reasoning, content) that was held back of the part before."""
        self._emphasis = groups.get("emphasis") or ""
        if phase is self.phase is Phase.THINKING:
            return "", ""  # a start marker within thinking begins nothing
        ending = self._end_part()
        self.phase = phase
        self._nothing, self._answer = "", AnswerText(self._markup.wrappers)
        return ending

    def _end_part(self) -> tuple[str, str]:
        """(reasoning, content) that was held back of a block of thinking or an answer that has ended."""
        if self.phase is not Phase.THINKING:
            return "", self._answer.finish()
        text, self._nothing = self._nothing or "", None
        return "" if text in self._markup.nothing else text, ""


def _any(texts: Sequence[str]) -> str:
    """A pattern of all texts, the longest first."""
    return "|".join(map(re.escape, sorted(set(texts), key=len, reverse=True)))


def _prefixes(texts: Sequence[str]) -> frozenset[str]:
    """Proper prefixes, without the empty one."""
    return frozenset(text[:size] for text in texts for size in range(1, len(text)))
