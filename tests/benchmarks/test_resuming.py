"""Figures against stop-append-resume are judged as the issue says."""

from typing import Any

import pytest

from benchmarks.benchmark import Section
from benchmarks.resuming import section


def repetition(ratio: float, sent: float) -> dict[str, Any]:
    def taken(seconds: float, sent: float) -> dict[str, Any]:
        return {
            "seconds": seconds,
            "tokens": 100,
            "pauses": [10.0 * seconds, 20.0],
            "sent": sent,
            "prefilled": sent / 2,
        }

    return {"resuming": taken(2.0 * ratio, sent), "one pass": taken(2.0, 100.0), "replies": 2, "alike": 2}


def made(ratios: dict[str, dict[str, list[float]]], long: float = 1.5, for_each_wait: float = 50.0) -> Section:
    def repetitions(waits: str, found: list[float]) -> list[dict[str, Any]]:
        return [repetition(ratio, 100.0 + for_each_wait * int(waits)) for ratio in found]

    def cells(given: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
        return {size: {waits: repetitions(waits, found) for waits, found in row.items()} for size, row in given.items()}

    return section({"short": cells(ratios), "long": cells({"8": {"2": [long, long]}})})


GOOD = {"1": {"0": [1.0, 0.99], "6": [1.5, 1.6]}, "64": {"0": [1.1, 1.2], "6": [2.0, 2.1]}}


def test_what_is_reached() -> None:
    targets = made(GOOD).targets
    assert [target.reached for target in targets] == [True, True, True, True]
    assert targets[0].found == "slower in 0 of 5 cells; the least ratio: 0.995 (short, 1 at once, 0 waits)"
    assert targets[3].found == "1 at once: 1.0 to 4.0 times as much; 64 at once: 1.0 to 4.0 times as much"


def test_prefill_that_does_not_grow_is_a_miss() -> None:
    targets = made(GOOD, for_each_wait=0.0).targets
    assert [target.reached for target in targets] == [True, True, True, False]


@pytest.mark.parametrize(
    ("worse", "missed"),
    [
        ({"1": {"0": [0.9, 0.99], "6": [1.5, 1.6]}}, 0),
        ({"64": {"0": [2.2, 2.3], "6": [2.0, 2.1]}}, 1),
        ({"64": {"0": [1.1, 1.2], "6": [1.4, 1.3]}}, 2),
    ],
)
def test_what_is_missed(worse: dict[str, dict[str, list[float]]], missed: int) -> None:
    targets = made({**GOOD, **worse}).targets
    assert [target.reached for target in targets] == [number != missed for number in range(4)]


def test_one_lucky_repetition_of_many_does_not_make_it_equal() -> None:
    target = made({**GOOD, "1": {"0": [0.97, 0.96, 0.95] * 4 + [1.2], "6": [1.5, 1.6]}}).targets[0]
    assert target.reached is False
    assert target.found.startswith(
        "slower in 1 of 5 cells; short, 1 at once, 0 waits; the least ratio: 0.960 (0.950 to"
    )


def test_long_prompts_count_too() -> None:
    assert not made(GOOD, long=0.9).targets[0].reached


def test_tables_and_plots_show_every_figure() -> None:
    shown = made(GOOD)
    times, pauses = shown.tables
    assert times.rows[1][:5] == ("short", "1", "6", "3.10 (3.00 to 3.20)", "2.00 (2.00 to 2.00)")
    assert times.rows[1][6:] == ("200", "100", "25")
    assert len(times.rows) == len(pauses.rows) == 5
    assert all(len(row) == len(table.head) for table in shown.tables for row in table.rows)
    assert shown.notes[0].startswith("Both ways gave the same tokens in 20 of 20 replies (100.00%).")
    assert list(shown.plots[0].curves) == ["1 at once", "64 at once"]
