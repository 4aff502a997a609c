"""Counts of fidelity are judged as they should be, on made-up ones."""

from typing import Any

from benchmarks.fidelity import COARSE, EXACT, report


def results(cases: int = 5000, exact: dict[str, int] | None = None, coarse: dict[str, int] | None = None) -> Any:
    """Two families; `exact` and `coarse` replace counts of one of them."""

    def tally(**more: int) -> dict[str, int]:
        zero = dict.fromkeys(("ties", "different", "cap_broken", "misreported"), 0)
        return {"sequences": cases, "equal": cases, "waits": 3, "closed_by_cap": 9, "with_cap": 9, **zero, **more}

    tallies = {
        EXACT: {"one": tally(), "two": tally(**(exact or {}))},
        COARSE: {"one": tally(), "two": tally(**(coarse or {}))},
    }
    return {"tallies": tallies, "named": []}


def reached(made: Any) -> list[str]:
    return ["-" if target.verdict == "not measured" else target.verdict[0] for target in report(made).targets]


def test_ties_are_named_and_no_miss() -> None:
    made = results(exact={"equal": 4998, "ties": 2}, coarse={"equal": 4000, "different": 1000})
    assert reached(made) == ["r", "r", "r"]
    first, second, _ = report(made).targets
    assert "2 differ at a tie" in first.measured
    assert second.measured.startswith("90.00 %")


def test_one_that_differs_is_a_miss() -> None:
    assert reached(results(exact={"equal": 4999, "different": 1})) == ["M", "r", "r"]


def test_another_report_for_the_same_text_is_a_miss_in_float32_only() -> None:
    assert reached(results(exact={"misreported": 1})) == ["M", "r", "r"]
    assert reached(results(coarse={"misreported": 1})) == ["r", "r", "r"]


def test_a_broken_cap_is_a_miss_in_either_format() -> None:
    assert reached(results(exact={"cap_broken": 1})) == ["r", "r", "M"]
    assert reached(results(coarse={"cap_broken": 1})) == ["r", "r", "M"]


def test_few_cases_say_nothing_unless_they_are_wrong() -> None:
    assert reached(results(cases=50)) == ["-", "-", "-"]
    assert reached(results(cases=50, exact={"equal": 49, "different": 1})) == ["M", "-", "-"]


def test_the_table_has_a_row_for_every_family_and_their_sum() -> None:
    (table,) = report(results()).tables
    assert [row[0] for row in table.rows] == ["one", "two", "all"]
    assert table.rows[-1][1] == "10,000"
