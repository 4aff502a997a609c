"""What repetitions of one measurement come to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, isnan, nan
from statistics import median
from typing import Any

import numpy as np
from scipy.stats import bootstrap, quantile_test


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of repetitions, in whatever unit they were measured."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, measured: Iterable[float]) -> "Spread":
        values = list(measured)
        return cls(median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, measured: Sequence[float], peer: Sequence[float]) -> "Spread":
        """Of ours over the peer's, each to the one that was measured next to it."""
        return cls.of(ours / theirs for ours, theirs in zip(measured, peer, strict=True))

    def beyond(self, other: float) -> "Spread":
        """What is left when something else took `other` of it."""
        return Spread(self.median - other, self.lowest - other, self.highest - other)

    def show(self, digits: int = 1) -> str:
        """For a table: the median, and in parentheses from where to where."""
        return f"{self.median:.{digits}f} ({self.lowest:.{digits}f} to {self.highest:.{digits}f})"

    def __str__(self) -> str:
        return self.show()


def median_interval(measured: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """What holds the median of all that could be measured, by order statistics; twice NaN for fewer than six values."""
    interval = quantile_test(measured, p=0.5).confidence_interval(confidence)
    return float(interval.low), float(interval.high)


def pooled_median(samples: Sequence[Sequence[float]], confidence: float = 0.95) -> tuple[float, float, float]:
    """The geometric mean of the medians of several measurements, and what it lies within.

    The interval is found by drawing from each measurement anew (percentile bootstrap); twice NaN where one has fewer
    than six values.
    """
    logs = [np.log(sample) for sample in samples]

    def middle(*drawn: Any, axis: int = -1) -> Any:
        return np.mean([np.median(each, axis=axis) for each in drawn], axis=0)

    pooled = exp(middle(*logs))
    if min(map(len, logs)) < 6:
        return pooled, nan, nan
    found = bootstrap(logs, middle, confidence_level=confidence, method="percentile", n_resamples=4000, rng=0)
    return pooled, exp(found.confidence_interval.low), exp(found.confidence_interval.high)


def show_within(value: float, low: float, high: float) -> str:
    """A ratio, and in parentheses its interval where there is one."""
    return f"{value:.3f}" if isnan(low) else f"{value:.3f} ({low:.3f} to {high:.3f})"
