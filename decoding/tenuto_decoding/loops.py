"""Detects thinking that repeats itself: its last tokens are one pattern, over and over."""

from collections import deque
from dataclasses import dataclass, field

#: Number of times a pattern has to appear, the last one possibly incomplete, before it is a loop.
MIN_REPEATS = 3
#: Longest pattern that is detected.
MAX_PATTERN = 128


def longest_pattern(size: int) -> int:
    """Length of the longest pattern of which the last `size` tokens may consist."""
    return min(size // MIN_REPEATS, MAX_PATTERN)


@dataclass(slots=True)
class LoopWatch:
    """Follows one block of thinking, with constant work per token.

    Attributes:
        size: number of last tokens that have to be a repeated pattern; 0 for no detection.
        runs: for each length of a pattern, in how many last tokens each equals the one that far before it.
        recent: the last tokens, the newest first.
    """

    size: int
    runs: list[int] = field(init=False)
    recent: deque[int] = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A block of thinking begins."""
        longest = longest_pattern(self.size)
        self.runs = [0] * longest
        self.recent = deque(maxlen=longest)

    def take(self, token: int) -> None:
        for at, earlier in enumerate(self.recent):
            self.runs[at] = self.runs[at] + 1 if earlier == token else 0
        if self.runs:
            self.recent.appendleft(token)

    @property
    def found(self) -> bool:
        """Whether the last `size` tokens are a pattern, from anywhere in it on, at least three times in a row."""
        return any(run + length >= self.size for length, run in enumerate(self.runs, 1))
