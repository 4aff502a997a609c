"""Median and range of repeated measurements, in whatever unit they were taken."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, measured: Iterable[float]) -> "Spread":
        values = list(measured)
        return cls(median(values), min(values), max(values))

    def beyond(self, other: float) -> "Spread":
        """What remains after `other` is taken off."""
        return Spread(self.median - other, self.lowest - other, self.highest - other)

    def show(self, digits: int = 1) -> str:
        """For a table: the median, and in parentheses the range."""
        return f"{self.median:.{digits}f} ({self.lowest:.{digits}f} to {self.highest:.{digits}f})"

    def __str__(self) -> str:
        return self.show()
