"""Figures against stop-append-resume are judged as they should be, on made-up ones."""

from typing import Any

import pytest

from benchmarks.benchmark import Report
from benchmarks.resuming import report, summarize


def repetition(ratio: float, sent: float) -> dict[str, Any]:
    def taken(seconds: float, sent: float) -> dict[str, Any]:
        return {"seconds": seconds, "pauses": [10.0 * seconds, 20.0], "sent": sent, "prefilled": sent / 2}

    return {"resuming": taken(2.0 * ratio, sent), "one pass": taken(2.0, 100.0), "replies": 2, "alike": 2}


def made(ratios: dict[str, dict[str, list[float]]], long: float = 1.5, for_each_wait: float = 50.0) -> Report:
    def repetitions(waits: str, found: list[float]) -> list[Any]:
        return [repetition(ratio, 100.0 + for_each_wait * int(waits)) for ratio in found]

    def cells(given: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
        return {size: {waits: repetitions(waits, found) for waits, found in row.items()} for size, row in given.items()}

    return report(summarize({"short": cells(ratios), "long": cells({"8": {"2": [long] * 6}})}))


def verdicts(shown: Report) -> list[str]:
    return [target.verdict for target in shown.targets]


GOOD = {"1": {"0": [1.0, 0.99], "6": [1.5, 1.6]}, "64": {"0": [1.1, 1.2], "6": [2.0, 2.1]}}


def test_what_is_reached() -> None:
    shown = made(GOOD)
    assert verdicts(shown) == ["reached"] * 4
    assert (
        shown.targets[3].measured
        == "1.0 to 1.0 times fewer with 0 waits and 4.0 to 4.0 times fewer with 6 waits, at 1, 64 at once"
    )


def test_prefill_that_does_not_grow_is_a_miss() -> None:
    assert verdicts(made(GOOD, for_each_wait=0.0)) == ["reached", "reached", "reached", "MISSED"]


@pytest.mark.parametrize(
    ("worse", "other"),
    [
        ({"1": {"0": [1.6, 1.7], "6": [1.5, 1.6]}, "64": {"0": [2.2, 2.3], "6": [2.0, 2.1]}}, 1),
        ({"64": {"0": [1.1, 1.2], "6": [1.4, 1.3]}}, 2),
    ],
)
def test_an_advantage_that_does_not_grow(worse: dict[str, dict[str, list[float]]], other: int) -> None:
    found = verdicts(made({**GOOD, **worse}))
    assert found[other] in ("MISSED", "not distinguishable")
    assert found[:other] + found[other + 1 :] == ["reached"] * 3


def test_one_lucky_repetition_of_many_does_not_make_it_equal() -> None:
    target = made({**GOOD, "1": {"0": [0.97, 0.96, 0.95] * 4 + [1.2], "6": [1.5, 1.6]}}).targets[0]
    assert target.verdict == "MISSED"
    assert target.measured.startswith(
        "slower in 1 of 5 cells; short, 1 at once, 0 waits; least ratio of times 0.960 (0.950"
    )


def test_long_prompts_count_too() -> None:
    assert verdicts(made(GOOD, long=0.9))[0] == "MISSED"


def test_tables_and_plots_show_every_cell() -> None:
    shown = made(GOOD)
    times, pauses = shown.tables
    assert times.rows[1] == ("short", "1", "6", "2", "3.10", "2.00", "1.55", "200", "100", "25")
    assert len(times.rows) == len(pauses.rows) == 5
    assert all(len(row) == len(table.head) for table in shown.tables for row in table.rows)
    assert "the same tokens in 28 of 28 replies" in times.caption
    assert list(shown.plots[0].curves) == ["1 at once", "64 at once"]
