"""The paper's three metrics (s1, arXiv 2501.19393, equations 1 to 3) and an interval for an accuracy.

A run is a point: mean thinking tokens and accuracy (a fraction). The paper does not print the unit of Scaling; its
Table 3 comes out with percentage points per doubling of the thinking tokens, so that is the unit here.
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
class Bounds:
    """How much thinking a run was to use."""

    lower: float = 0.0
    upper: float = math.inf


def control(tokens: Sequence[float], bounds: Sequence[Bounds]) -> float:
    """The share of runs whose thinking stayed within what was asked (equation 1)."""
    kept = [bound.lower <= used <= bound.upper for used, bound in zip(tokens, bounds, strict=True)]
    return sum(kept) / len(kept)


def scaling(points: Sequence[Point]) -> float | None:
    """Mean slope over all pairs of runs, in percentage points per doubling (equation 2).

    Runs without thinking have no place on a logarithmic axis, and pairs with equal thinking have no slope: both are
    left out. None where no pair remains.
    """
    runs = sorted((point for point in points if point.tokens > 0), key=lambda point: point.tokens)
    slopes = [
        100 * (b.accuracy - a.accuracy) / math.log2(b.tokens / a.tokens)
        for a, b in combinations(runs, 2)
        if a.tokens < b.tokens
    ]
    return sum(slopes) / len(slopes) if slopes else None


def performance(points: Sequence[Point]) -> float:
    """The best accuracy of any run (equation 3)."""
    return max(point.accuracy for point in points)


def wilson_interval(correct: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval for a proportion (95 % by default); (0, 1) where nothing was counted."""
    if count == 0:
        return 0.0, 1.0
    share, spread = correct / count, z * z / count
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    # The interval holds the share; at 0 and 1 rounding would put it a hair outside.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
