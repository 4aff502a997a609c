from typing import Any

import pytest

from benchmarks import streaming
from benchmarks.benchmark import Section


def costs(*microseconds: float) -> list[dict[str, Any]]:
    return [{"cpu_seconds": each / 1e3, "chunks": 1000, "tokens": 1000, "bytes": 250_000} for each in microseconds]


def streams(idle: int = 500, exact: int = 500) -> dict[str, Any]:
    return {
        "streams": 500,
        "opened_at_a_time": 250,
        "idle": idle,
        "resident": [0, 250 * 1024 * 40, 250 * 1024 * 60],
        "answers": {
            "before": {"probe": [1.0, 2.0, 9.0], "models": [3.0]},
            "open": {"probe": [1.5, 2.5, 8.0], "models": [4.0]},
        },
        "exact": exact,
    }


def section(ours: dict[str, Any] | None = None) -> Section:
    return streaming.section(
        {
            "costs": {
                streaming.PLAIN: costs(200, 210, 300),
                streaming.AGAIN: costs(201, 209, 300),
                streaming.NO_BUDGET: costs(210, 225, 320),
                streaming.BUDGET: costs(230, 240, 330),
            },
            "streams": {streaming.PLAIN: streams(), streaming.BUDGET: ours or streams()},
        }
    )


@pytest.mark.parametrize(("idle", "exact", "reached"), [(500, 500, True), (499, 500, False), (500, 499, False)])
def test_every_stream_has_to_be_open_at_once_and_exact(idle: int, exact: int, reached: bool) -> None:
    (target,) = section(streams(idle, exact)).targets
    assert target.reached is reached
    assert target.found == f"{idle} idle at once, {exact} with exact counts"


def test_differences_are_between_neighbours() -> None:
    found = section()
    rows = {row[0]: row for row in found.tables[0].rows}
    assert rows[streaming.PLAIN][1:] == ["210.0 (200.0 to 300.0)", "", "250", "1.000"]
    assert rows[streaming.NO_BUDGET][2] == "15.0 (10.0 to 20.0)"
    assert streaming.BARE not in rows
    assert "15.0 (10.0 to 20.0) microseconds" in found.notes[0]


def test_an_open_stream_takes_what_the_process_grew_by() -> None:
    row = section().tables[1].rows[0]
    assert row == [
        "plain vLLM",
        "500",
        "30.0 (20.0 to 40.0)",
        "2.0, 9.0",
        "2.5, 8.0",
        "3.0, 3.0",
        "4.0, 4.0",
        "500 of 500",
    ]
