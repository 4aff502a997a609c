"""The paper's three metrics (s1, arXiv 2501.19393, equations 1 to 3) and an interval for an accuracy.

A run is a point: mean thinking tokens and accuracy (a fraction). The paper does not state the unit of Scaling. Its
Table 3 follows with percentage points per doubling of the thinking tokens, so that is the unit here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Point:
    """One run: mean thinking tokens, and accuracy between 0 and 1."""

    tokens: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class TokenRange:
    """The thinking tokens that a run should use."""

    lower: float = 0.0
    upper: float = math.inf


def control(tokens: Sequence[float], ranges: Sequence[TokenRange]) -> float:
    """Return the share of runs whose thinking stayed within its range (equation 1)."""
    within = [limits.lower <= used <= limits.upper for used, limits in zip(tokens, ranges, strict=True)]
    return sum(within) / len(within)


def scaling(points: Sequence[Point]) -> float | None:
    """Return the mean slope over all pairs of runs, in percentage points per doubling (equation 2).

    Runs without thinking have no logarithm, and pairs with equal thinking have no slope: both are left out. None if no
    pair remains.
    """
    runs = sorted((point for point in points if point.tokens > 0), key=lambda point: point.tokens)
    slopes = [
        100 * (b.accuracy - a.accuracy) / math.log2(b.tokens / a.tokens)
        for a, b in combinations(runs, 2)
        if a.tokens < b.tokens
    ]
    return sum(slopes) / len(slopes) if slopes else None


def performance(points: Sequence[Point]) -> float:
    """Return the best accuracy of any run (equation 3)."""
    return max(point.accuracy for point in points)


def wilson_interval(correct: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval for a proportion (95 % by default); (0, 1) if `count` is 0."""
    if count == 0:
        return 0.0, 1.0
    share, spread = correct / count, z * z / count
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    # The interval contains the share; at 0 and 1, rounding could put the share just outside.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
