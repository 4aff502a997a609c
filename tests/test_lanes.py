"""`make test` runs every lane, adds up their results, and fails if a lane fails or no test ran."""

import pytest

from scripts import test as lanes
from scripts.test import NOTHING_RAN, PASSED, Lane, exit_status, summary
from tests import conftest

LAST_LINE = "\x1b[31m=== \x1b[1m2 failed\x1b[0m, 40 passed, 1 skipped, 3 deselected, 2 errors in 61.00s (0:01:01) ==="


def test_each_lane_of_the_suite_is_run() -> None:
    assert sorted(lanes.LANES) == sorted(conftest.LANES)


def test_results_are_read_from_the_last_line_and_added_up() -> None:
    first, second = Lane("unit", (), report=["...", LAST_LINE]), Lane("engine", (), report=["2 passed in 1.00s"])
    assert first.counts == {"failed": 2, "passed": 40, "skipped": 1, "error": 2}
    assert summary([first, second], 125.0).splitlines()[-1] == "42 passed, 2 failed, 2 error, 1 skipped in 2 min 5 s"


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        ([PASSED, PASSED], PASSED),
        ([PASSED, NOTHING_RAN], PASSED),
        ([NOTHING_RAN, NOTHING_RAN], NOTHING_RAN),
        ([PASSED, 1], 1),
        ([NOTHING_RAN, -9, 1], -9),
    ],
)
def test_the_exit_status_is_the_first_failure(statuses: list[int], status: int) -> None:
    assert exit_status([Lane("unit", (), status=each) for each in statuses]) == status
