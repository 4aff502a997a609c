"""A naive count of thinking tokens: on the decoded text of a whole reply, with no memory from token to token.

A token belongs to the region in which its first byte lies. So a token that holds the last of the thinking and the
beginning of the end marker counts as thinking, and one that holds the end of a marker and what follows does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from .random_model import Ids
from .tokenizations import bytes_of_tokens

#: Offsets of its first byte and of the one after its last.
Region = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Count:
    """Thinking tokens of a reply, whether it still thinks at its end, and whether it has ever thought."""

    tokens: int
    thinks: bool
    has_thought: bool


@dataclass(frozen=True)
class DecodedCount:
    """Counts replies of one tokenizer with one set of markers.

    Attributes:
        tokenizer: a byte-level one.
        starts, ends: texts that open and that leave thinking; of those that are complete at the same character, the
            longest is meant.
        openers: those of `ends` that begin what follows, such as a tool call.
    """

    tokenizer: Any
    starts: tuple[str, ...]
    ends: tuple[str, ...]
    openers: tuple[str, ...] = ()

    def data(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes of each token; for an added token, bytes that no text holds."""
        ordinary = bytes_of_tokens(self.tokenizer)
        return [ordinary[token] if token in ordinary else b"\xff%d\xff" % token for token in ids]

    def count(self, ids: Ids, *, thinks: bool) -> Count:
        """The count of a reply, where the prompt has opened thinking or has not."""
        pieces = self.data(ids)
        thinking, _, thinks = self._regions(b"".join(pieces), thinks)
        return Count(len(_beginning_in(pieces, thinking)), thinks, bool(thinking))

    def content(self, ids: Ids, *, thinks: bool) -> Ids:
        """The tokens of a reply that belong neither to its thinking nor to a marker; an opener is content."""
        pieces = self.data(ids)
        _, content, _ = self._regions(b"".join(pieces), thinks)
        return tuple(ids[at] for at in _beginning_in(pieces, content))

    def _regions(self, text: bytes, thinks: bool) -> tuple[list[Region], list[Region], bool]:
        """The regions of thinking and of content, and whether the text still thinks at its end."""
        regions: dict[bool, list[Region]] = {True: [], False: []}
        at = 0
        while True:
            start, end = _next(text, at, self._end_data if thinks else self._start_data)
            regions[thinks].append((at, start))
            if end is None:
                return regions[True], regions[False], thinks
            if thinks and text[start:end] in self._opener_data:
                regions[False].append((start, end))
            at, thinks = end, not thinks

    @cached_property
    def _start_data(self) -> list[bytes]:
        return [self._marker(text) for text in self.starts]

    @cached_property
    def _end_data(self) -> list[bytes]:
        return [self._marker(text) for text in self.ends]

    @cached_property
    def _opener_data(self) -> list[bytes]:
        return [self._marker(text) for text in self.openers]

    def _marker(self, text: str) -> bytes:
        token = self.tokenizer.get_vocab().get(text)
        ordinary = token is None or token in bytes_of_tokens(self.tokenizer)
        return text.encode() if ordinary else self.data([token])[0]


def _beginning_in(pieces: list[bytes], regions: list[Region]) -> list[int]:
    """Positions of the pieces whose first byte lies in one of the regions."""
    offsets = accumulate(map(len, pieces[:-1]), initial=0) if pieces else ()
    return [at for at, offset in enumerate(offsets) if any(low <= offset < high for low, high in regions)]


def _next(text: bytes, at: int, markers: list[bytes]) -> tuple[int, int | None]:
    """Where the next of the markers starts and ends; the end of the whole text and None if there is none."""
    found = [(text.find(data, at), data) for data in markers]
    complete = [(start + len(data), -len(data)) for start, data in found if start >= 0]
    if not complete:
        return len(text), None
    end, negative = min(complete)
    return end + negative, end
