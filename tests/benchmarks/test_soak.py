"""The soak's figures are judged right, on made-up ones."""

import json
from typing import Any

import pytest

from benchmarks.soak import growth, section

REQUESTS = 1000


def results(*, grows: float = 0.0, **more: Any) -> dict[str, Any]:
    """A run that reached everything, but for what is said otherwise; `grows` in bytes for each request."""
    samples = [
        {
            "seconds": 20.0 * at,
            "requests": 100 * at,
            "bytes": {"API server": 400e6 + min(at, 40) * 1e6, "worker": 9e8 + 100 * at * grows + 10e3 * (-1) ** at},
        }
        for at in range(1, 91)
    ]
    made = {
        "seconds": 1800.0,
        "spells": 90,
        "at_once": 48,
        "requests": REQUESTS,
        "endings": {"answered": 600, "refused": 200, "gone": 200},
        "unseen": 20,
        "orders": {"200": 20, "404": 3, "applied": 18},
        "choices": 700,
        "tokens": 40_000,
        "outcomes": {"ok": 620, "invalid": 210, "cancelled": 160},
        "wrong": {"number": 0, "first": []},
        "left": {},
        "samples": samples,
        "busy": {"Tenuto": {"steps": 16_000.0, "bytes": 80.0}, "plain vLLM": {"steps": 16_000.0, "bytes": 81.0}},
    }
    read_back: dict[str, Any] = json.loads(json.dumps(made | more))
    return read_back


def reached(made: dict[str, Any]) -> list[bool | None]:
    return [target.reached for target in section(made).targets]


def test_all_reached() -> None:
    assert reached(results()) == [True, True, True]


def test_growth_is_that_of_the_second_half() -> None:
    slope, error = growth(results()["samples"])
    assert abs(slope) < error < 50
    slope, error = growth(results(grows=1000)["samples"])
    assert slope == pytest.approx(1000, abs=error)
    assert reached(results(grows=1000)) == [False, True, True]


def test_a_short_run_says_nothing_of_growth() -> None:
    assert reached(results(grows=1000, seconds=10.0)) == [None, True, True]


@pytest.mark.parametrize(
    "told",
    [
        {"ok": 599, "invalid": 210, "cancelled": 181},
        {"ok": 620, "invalid": 199, "cancelled": 171},
        {"ok": 620, "invalid": 210, "cancelled": 171},
        {"ok": 620, "invalid": 210, "cancelled": 149},
        {"ok": 620, "invalid": 210, "cancelled": 159, "error": 1},
    ],
    ids=str,
)
def test_endings_that_cannot_be_the_clients(told: dict[str, int]) -> None:
    assert reached(results(outcomes=told)) == [True, False, True]


def test_what_is_left_or_wrong_is_named() -> None:
    made = results(left={"tenuto_sequences": 2.0}, wrong={"number": 3, "first": ["request 7: ..."]})
    assert reached(made) == [True, False, False]
    _, leak, counts = section(made).targets
    assert "tenuto_sequences 2" in leak.found
    assert counts.found.startswith("3 wrong of 600")


def test_the_page_shows_every_kind_of_process() -> None:
    shown = section(results())
    assert set(shown.plots[0].curves) == {"API server", "worker"}
    assert ["memory of the API server" in row[0] for row in shown.tables[2].rows].count(True) == 1
