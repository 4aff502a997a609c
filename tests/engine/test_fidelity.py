"""At temperature 0 in float32 one pass gives, token for token, what s1's stop-append-resume procedure gives."""

import pytest

from tenuto_testing.built_in_problems import FOLDER, built_in, draw_problems
from tenuto_testing.cases import Family, draw_cases, families
from tenuto_testing.comparison import compare
from tenuto_testing.engines import Engine, Engines

CASES = 300  # for each family
SEED = 1

#: What has to happen in the cases of every family, at least this often.
OFTEN = 2
EVENTS = {
    "opened by force",
    "opened by the model",
    "wait",
    "wait for the floor",
    "wait for a stop token",
    "wait for a marker",
    "wait cut by the cap",
    "suppressed",
    "capped",
    "landed",
    "ended by model",
    "ended by stop_token",
}


@pytest.mark.parametrize("name", families())
def test_one_pass_is_stop_append_resume(name: str, engine: Engine, tally: list[str]) -> None:
    family = families()[name]
    outcome = compare(engine, family, draw_cases(family, CASES, SEED))
    assert outcome.equal + outcome.ties == CASES
    assert outcome.ties < 0.01 * CASES
    assert {event for event in events_of(family) if outcome.events[event] < OFTEN} == set(), outcome
    tally.append(f"fidelity, {name}: {outcome}")


def test_one_pass_is_stop_append_resume_on_the_built_in_model(engines: Engines, tally: list[str]) -> None:
    engine = engines.start(FOLDER, markers=built_in().markers)
    outcome = compare(engine, built_in(), draw_problems(100, SEED))
    assert outcome.ties <= 1
    happened = {"opened by force", "wait", "suppressed", "capped", "ended by model"}
    assert happened <= set(outcome.events), outcome
    tally.append(f"fidelity, {built_in().name}: {outcome}")


def events_of(family: Family) -> set[str]:
    """A start marker of its own token is barred from the outset; a spelt one only when it is about to be written."""
    return EVENTS | ({"kept from opening"} if family.form.spelt_start else set())


def test_the_cases_hold_what_the_promise_speaks_of() -> None:
    cases = [case for family in families().values() for case in draw_cases(family, CASES, SEED)]
    assert len(cases) == 3000
    assert {0, 1, 2, 9, 30, 60, None} <= {case.budget.cap for case in cases}
    assert {case.budget.waits for case in cases} == set(range(7))
    assert {len(case.family.form.end) for case in cases} == {1, 2, 3}
    assert {case.family.form.spelt_end for case in cases} == {False, True}
    assert {len(text) for case in cases for text in case.budget.texts} == set(range(6))
    assert {len(case.budget.texts) for case in cases} == {1, 2, 3}
    assert {case.where for case in cases} == {"before", "thinking", "answer"}
    assert {case.budget.per_block for case in cases} == {False, True}
    assert {case.family.markers.force_start for case in cases} == {False, True}
