"""The soak's figures are judged right, on made-up ones."""

from typing import Any

import pytest

from benchmarks.soak import growth, report

REQUESTS = 1000


def results(*, grows: float = 0.0, **more: Any) -> dict[str, Any]:
    """A run that reached everything, except for what is given; `grows` in bytes for each request."""
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
        "requests": REQUESTS,
        "endings": {"answered": 600, "refused": 200, "gone": 200},
        "unseen": 20,
        "steering": {"200": 20, "404": 3, "applied": 18},
        "choices": 700,
        "tokens": 40_000,
        "outcomes": {"ok": 620, "invalid": 210, "cancelled": 160},
        "wrong": {"number": 0, "first": []},
        "left": {},
        "samples": samples,
        "busy": {"Tenuto": {"steps": 16_000.0, "bytes": 80.0}, "plain vLLM": {"steps": 16_000.0, "bytes": 81.0}},
    }
    return made | more


def verdicts(made: dict[str, Any]) -> list[str]:
    return [target.verdict for target in report(made).targets]


def test_all_verdicts() -> None:
    assert verdicts(results()) == ["reached"] * 3


def test_growth_is_that_of_the_second_half() -> None:
    found = growth(results()["samples"])
    assert -50 < found.least < 0 < found.most < 50
    found = growth(results(grows=1000)["samples"])
    assert found.least < 1000 < found.most
    assert verdicts(results(grows=1000)) == ["MISSED", "reached", "reached"]


def test_a_short_run_says_nothing_of_growth() -> None:
    assert verdicts(results(grows=1000, seconds=10.0)) == ["not measured", "reached", "reached"]


@pytest.mark.parametrize(
    "counted",
    [
        {"ok": 599, "invalid": 210, "cancelled": 181},
        {"ok": 620, "invalid": 199, "cancelled": 171},
        {"ok": 620, "invalid": 210, "cancelled": 171},
        {"ok": 620, "invalid": 210, "cancelled": 149},
        {"ok": 620, "invalid": 210, "cancelled": 159, "error": 1},
    ],
    ids=str,
)
def test_endings_that_cannot_be_the_clients(counted: dict[str, int]) -> None:
    assert verdicts(results(outcomes=counted)) == ["reached", "MISSED", "reached"]


def test_what_is_left_or_wrong_is_named() -> None:
    made = results(left={"tenuto_sequences": 2.0}, wrong={"number": 3, "first": ["request 7: ..."]})
    assert verdicts(made) == ["reached", "MISSED", "MISSED"]
    _, leak, counts = report(made).targets
    assert "tenuto_sequences 2" in leak.measured
    assert counts.measured.startswith("3 wrong of 600")


def test_the_page_shows_every_kind_of_process() -> None:
    shown = report(results())
    assert set(shown.plots[0].curves) == {"API server", "worker"}
    assert [row[0] for row in shown.tables[2].rows] == ["API server", "worker"]
