"""The figures of fidelity are judged right, on made-up ones."""

import json
from typing import Any

from benchmarks.fidelity import COARSE, EXACT, section


def results(cases: int = 5000, exact: dict[str, int] | None = None, coarse: dict[str, int] | None = None) -> Any:
    """Two families; `exact` and `coarse` are what one of them came to beside that."""

    def tally(**more: int) -> dict[str, int]:
        common = {"ties": 0, "different": 0, "wrong": 0, "retold": 0, "capped": 9, "bounded": 9, "tokens": 9}
        return {"sequences": cases, "equal": cases, "waits": 3, "thinking": 9, **common, **more}

    found = {
        EXACT: {"one": tally(), "two": tally(**(exact or {}))},
        COARSE: {"one": tally(), "two": tally(**(coarse or {}))},
    }
    return json.loads(json.dumps({"found": found, "named": []}))


def reached(made: Any) -> list[bool | None]:
    return [target.reached for target in section(made).targets]


def test_ties_are_named_and_no_miss() -> None:
    made = results(exact={"equal": 4998, "ties": 2}, coarse={"equal": 4000, "different": 1000})
    assert reached(made) == [True, True, True]
    first, second, _ = section(made).targets
    assert "2 part at a tie" in first.found
    assert second.found.startswith("90.00 %")


def test_one_that_differs_is_a_miss() -> None:
    assert reached(results(exact={"equal": 4999, "different": 1})) == [False, True, True]


def test_the_same_text_told_otherwise_is_a_miss_in_float32_alone() -> None:
    assert reached(results(exact={"retold": 1})) == [False, True, True]
    assert reached(results(coarse={"retold": 1})) == [True, True, True]


def test_a_cap_that_is_broken_is_a_miss_in_either_format() -> None:
    assert reached(results(exact={"wrong": 1})) == [True, True, False]
    assert reached(results(coarse={"wrong": 1})) == [True, True, False]


def test_few_cases_say_nothing_unless_they_are_wrong() -> None:
    assert reached(results(cases=50)) == [None, None, None]
    assert reached(results(cases=50, exact={"equal": 49, "different": 1})) == [False, None, None]
