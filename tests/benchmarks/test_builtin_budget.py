"""Figures against vLLM's own budget are judged as the issue says."""

from typing import Any

from benchmarks.builtin_budget import section


def results(cap_at_1k: float, cap_at_32k: float, vllm_at_16k: float, sequences: str = "64") -> dict[str, Any]:
    def found(vllm: float, ours: float) -> dict[str, list[float]]:
        return {"vllm": [vllm] * 3, "cap": [ours] * 3, "floor": [ours] * 3}

    by_length = {
        "1024": found(7.0, cap_at_1k),
        "16384": found(vllm_at_16k, 0.2),
        "32768": found(200.0, cap_at_32k),
    }
    steps = {"none": [1.0, 1.1], "vllm": [4.0, 4.2], "ours": [1.5, 1.5]}
    return {"processor": {sequences: by_length}, "engine": {"8": {"256": steps, "512": steps}}}


def test_what_is_reached() -> None:
    made = section(results(0.2, 0.24, 107.0))
    assert [target.reached for target in made.targets] == [True, True, True]
    assert made.targets[2].found == "535 (535 to 535) times less"


def test_what_is_missed() -> None:
    made = section(results(0.2, 0.26, 99.0))
    assert [target.reached for target in made.targets] == [False, False, False]


def test_what_was_not_measured() -> None:
    assert [target.reached for target in section(results(0.2, 0.2, 107.0, sequences="8")).targets] == [None, None, None]


def test_tables_and_plots_show_every_figure() -> None:
    made = section(results(0.2, 0.2, 107.0))
    alone, whole = made.tables
    assert [row[1] for row in alone.rows] == ["1,024", "16,384", "32,768"]
    assert whole.rows[0] == (
        *("8", "256", "1.05 (1.00 to 1.10)", "4.10 (4.00 to 4.20)", "1.50 (1.50 to 1.50)"),
        *("3.05 (3.00 to 3.10)", "0.45 (0.40 to 0.50)"),
    )
    assert all(len(row) == len(table.head) for table in made.tables for row in table.rows)
    assert {plot.name for plot in made.plots} == {"builtin_budget", "builtin_budget_engine_8"}
