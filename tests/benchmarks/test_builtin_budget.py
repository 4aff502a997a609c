"""Figures against vLLM's own budget are judged by their intervals."""

from benchmarks.benchmark import Report
from benchmarks.builtin_budget import ByLength, report, summarize

SPREAD = (0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03)


def made(at_1k: float, at_32k: float, vllm_at_16k: float, sequences: str = "64") -> Report:
    def found(vllm: float, ours: float) -> dict[str, list[float]]:
        own = [ours * each for each in SPREAD]
        return {"vllm": [vllm] * len(SPREAD), "cap": own, "floor": own}

    by_length: ByLength = {
        "1024": {"vllm": [7.0] * 7, "cap": [at_1k] * 7, "floor": [at_1k] * 7},
        "16384": found(vllm_at_16k, 0.2),
        "32768": found(200.0, at_32k),
    }
    return report(summarize({sequences: by_length}))


def verdicts(shown: Report) -> list[str]:
    return [target.verdict for target in shown.targets]


def test_verdicts() -> None:
    assert verdicts(made(0.2, 0.24, 107.0)) == ["reached"] * 3
    assert verdicts(made(0.2, 0.25, 101.0)) == ["not distinguishable"] * 3
    assert verdicts(made(0.2, 0.27, 90.0)) == ["MISSED"] * 3


def test_few_sequences_say_nothing() -> None:
    assert verdicts(made(0.2, 0.2, 107.0, sequences="8")) == ["not measured"] * 3


def test_the_table_has_a_row_for_every_length() -> None:
    shown = made(0.2, 0.24, 107.0)
    (table,) = shown.tables
    assert table.rows[1] == ("64", "16,384", "107.000", "0.200", "535 (519 to 552)", "0.200")
    assert shown.targets[2].measured == "535 (519 to 552) times less"
    assert all(len(row) == len(table.head) for row in table.rows)
