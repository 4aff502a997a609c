"""Texts that are forced token by token: a start marker, a wait text, the rest of an end marker, a closing."""

from dataclasses import dataclass, replace
from typing import Literal

from .matching import Ids


@dataclass(frozen=True, slots=True)
class Script:
    """Tokens that are forced one after the other.

    Attributes:
        tokens: at least one.
        counted_from, counted_to: the tokens from the one position up to the other count as thinking.
        closes: why thinking ends with the script; None for a start marker, a wait text and the rest of an end marker.
        at: position of the next token to force.
    """

    tokens: Ids
    counted_from: int = 0
    counted_to: int = 0
    closes: Literal["cap", "loop"] | None = None
    at: int = 0

    @property
    def token(self) -> int:
        """The next token to force."""
        return self.tokens[self.at]

    @property
    def counts(self) -> bool:
        """Whether the next token counts as thinking."""
        return self.counted_from <= self.at < self.counted_to

    @property
    def is_wait(self) -> bool:
        """Whether it is a wait text: what follows it is thinking again."""
        return self.closes is None and self.counted_to > 0

    @property
    def rest(self) -> "Script | None":
        """What is forced after the next token."""
        return replace(self, at=self.at + 1) if self.at + 1 < len(self.tokens) else None
