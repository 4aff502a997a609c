"""Medians with their 95 % confidence intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan
from statistics import median
from typing import Any

import numpy as np
from scipy.stats import bootstrap, quantile_test, theilslopes

CONFIDENCE = 0.95
#: The bootstrap draws from each sample; with fewer values than this it says nothing.
FEWEST_TO_RESAMPLE = 5


@dataclass(frozen=True)
class Estimate:
    """A value and its confidence interval; `low` and `high` are None if there were too few measurements for one."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def median(cls, measured: Sequence[float]) -> "Estimate":
        """The median, with the interval that order statistics give; that takes six values."""
        interval = quantile_test(measured, p=0.5).confidence_interval(CONFIDENCE)
        return cls._within(median(measured), float(interval.low), float(interval.high))

    @classmethod
    def pooled_median(cls, samples: Sequence[Sequence[float]]) -> "Estimate":
        """The geometric mean of the medians of several samples of ratios, with a percentile bootstrap interval."""
        logs = [np.log(sample) for sample in samples]
        mean: Callable[..., Any] = _mean_of_medians
        pooled = float(np.exp(mean(*logs)))
        if min(map(len, logs)) < FEWEST_TO_RESAMPLE:
            return cls(pooled)
        found = bootstrap(logs, mean, confidence_level=CONFIDENCE, method="percentile", n_resamples=4000, rng=0)
        interval = found.confidence_interval
        return cls._within(pooled, float(np.exp(interval.low)), float(np.exp(interval.high)))

    @classmethod
    def common_slope(cls, rows: Sequence[Sequence[tuple[float, float]]]) -> "Estimate":
        """The slope that points (x, y) of all rows have in common (Theil and Sen); each row may have its own height."""
        centered = [np.array(row) - np.mean(row, axis=0) for row in rows]
        x, y = np.concatenate(centered).T
        found = theilslopes(y, x, alpha=CONFIDENCE)
        return cls._within(float(found.slope), float(found.low_slope), float(found.high_slope))

    @classmethod
    def _within(cls, value: float, low: float, high: float) -> "Estimate":
        return cls(value) if isnan(low) or isnan(high) else cls(value, low, high)

    @property
    def has_interval(self) -> bool:
        return self.low is not None and self.high is not None

    @property
    def least(self) -> float:
        """The lower end of the interval; the value if there is none."""
        return self.value if self.low is None else self.low

    @property
    def most(self) -> float:
        """The upper end of the interval; the value if there is none."""
        return self.value if self.high is None else self.high

    def to_json(self) -> list[float | None]:
        """To be read back by `Estimate(*stored)`."""
        return [None if each is None else round(each, 6) for each in (self.value, self.low, self.high)]

    def show(self, digits: int = 3, suffix: str = "") -> str:
        """For a table: the value, and in parentheses its interval."""
        value = f"{self.value:.{digits}f}{suffix}"
        if self.low is None or self.high is None:
            return value
        return f"{value} ({self.low:.{digits}f}{suffix} to {self.high:.{digits}f}{suffix})"


def _mean_of_medians(*samples: Any, axis: int = -1) -> Any:
    return np.mean([np.median(sample, axis=axis) for sample in samples], axis=0)
