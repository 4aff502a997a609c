"""The tables of the footprint, from made-up figures."""

import json
from typing import Any

from benchmarks.footprint import BUDGETED, LOADED, OURS, PLAIN, STARTED, section

MIB = 2**20


def start(server: str, seconds: float, **share: int) -> dict[str, Any]:
    """A start whose processes take so many MiB, and 5 more each after the load."""
    moments = (STARTED, LOADED, BUDGETED) if server == OURS else (STARTED, LOADED)
    used = {
        moment: {kind: {"private": 0, "share": (size + 5 * (moment != STARTED)) * MIB} for kind, size in share.items()}
        for moment in moments
    }
    return {"server": server, "seconds": seconds, "memory": used}


def test_ours_stands_against_its_neighbour() -> None:
    results = {
        "starts": [
            start(PLAIN, 20.0, api=400, worker=900),
            start(OURS, 22.0, api=410, worker=901),
            start(OURS, 33.0, api=412, worker=901),
            start(PLAIN, 30.0, api=401, worker=900),
        ],
        "budgets": [{"tokens": 0, "sequences": 9, "engine": 3774.1, "api": 4781.9, "ids": 56.0}],
    }
    starts, memory, budgets = section(json.loads(json.dumps(results))).tables
    assert list(starts.rows[1]) == [OURS, "27.5 (22.0 to 33.0)", "1.10 (1.10 to 1.10)"]
    rows = {(row[0], row[1]): row[2:] for row in memory.rows}
    assert rows[STARTED, "api"] == ("400 (400 to 401)", "411 (410 to 412)", "10.5 (10.0 to 11.0)")
    assert rows[LOADED, "all"][-1] == "11.5 (11.0 to 12.0)"
    assert rows[BUDGETED, "worker"] == ("", "906 (906 to 906)", "1.0 (1.0 to 1.0)")
    assert list(budgets.rows[0]) == ["0", "3,774", "4,782", "56"]
