"""Intervals and the verdicts that follow from them."""

import random
from math import exp
from typing import Any

import pytest

from benchmarks.benchmark import Verdict, at_least, at_most
from benchmarks.estimates import Estimate


def test_the_interval_of_a_median_is_given_by_order_statistics() -> None:
    """Of eight values the smallest and the largest hold the median with 1 - 2 / 2**8, the next two with 93 % only."""
    found = Estimate.median([0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0, 1.01])
    assert found == Estimate(0.975, 0.94, 1.01)
    assert found.show() == "0.975 (0.940 to 1.010)"


def test_five_values_give_a_median_without_an_interval() -> None:
    found = Estimate.median([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found == Estimate(3.0)
    assert (found.least, found.most, found.show(1)) == (3.0, 3.0, "3.0")


def test_a_pooled_median_is_the_geometric_mean_of_the_medians() -> None:
    assert Estimate.pooled_median([[1.0] * 3, [0.81] * 3]).value == pytest.approx(0.9)
    values = [0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0, 1.01]
    found = Estimate.pooled_median([values])
    assert found.value == pytest.approx(0.975, abs=1e-4)
    assert 0.94 < found.least < found.value < found.most < 1.01


def test_the_interval_holds_the_true_value_about_as_often_as_it_says() -> None:
    chance, held = random.Random(1), 0
    for _ in range(100):
        samples = [[exp(chance.gauss(at, 0.1)) for _ in range(15)] for at in (-0.1, 0.1)]
        found = Estimate.pooled_median(samples)
        held += found.least <= 1 <= found.most
    assert held >= 88


def test_a_common_slope_leaves_out_the_height_of_each_row() -> None:
    rows = [[(0.0, 5.0), (1.0, 5.1), (2.0, 5.2)], [(0.0, -3.0), (1.0, -2.9), (2.0, -2.8)]]
    found = Estimate.common_slope(rows)
    assert [found.value, found.least, found.most] == [pytest.approx(0.1)] * 3


def test_an_estimate_survives_json() -> None:
    for each in (Estimate(1.5), Estimate(1.5, 1.0, 2.0)):
        stored: Any = each.to_json()
        assert Estimate(*stored) == each


@pytest.mark.parametrize(
    ("interval", "least", "most"),
    [
        ((3.0, 2.0, 4.0), Verdict.REACHED, Verdict.MISSED),
        ((3.0, 1.9, 4.0), Verdict.NOT_DISTINGUISHABLE, Verdict.NOT_DISTINGUISHABLE),
        ((1.0, 0.5, 1.9), Verdict.MISSED, Verdict.REACHED),
        ((1.0,), Verdict.NOT_DISTINGUISHABLE, Verdict.NOT_DISTINGUISHABLE),
    ],
)
def test_a_verdict_takes_the_whole_interval(interval: tuple[float, ...], least: Verdict, most: Verdict) -> None:
    value, bound = Estimate(*interval), 1.95
    assert at_least(value, bound) is least
    assert at_most(value, bound) is most
