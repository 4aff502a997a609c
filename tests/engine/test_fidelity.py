"""At temperature 0 in float32 one pass gives, token for token, what s1's stop-append-resume procedure gives.

The short form compares 100 random cases of each family, the long form 300. TENUTO_TEST_SEED, or the run number of
GitHub's CI, selects other cases.
"""

import os
from collections import Counter

import pytest

from tenuto_testing.built_in_problems import FOLDER, built_in, draw_problems
from tenuto_testing.cases import Family, draw_cases, families
from tenuto_testing.comparison import compare
from tenuto_testing.engines import Engine, Engines

CASES, LONG_CASES = 100, 300  # for each family
SEED = int(os.environ.get("TENUTO_TEST_SEED") or os.environ.get("GITHUB_RUN_NUMBER") or 1)

#: What has to happen in the cases of all families together, and in the long form in those of each.
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


@pytest.fixture(scope="module")
def number(is_long: bool) -> int:
    return LONG_CASES if is_long else CASES


@pytest.fixture(scope="module")
def events() -> dict[str, Counter[str]]:
    """What happened in the cases of each family."""
    return {}


@pytest.mark.parametrize("name", families())
def test_one_pass_is_stop_append_resume(
    name: str, engine: Engine, number: int, is_long: bool, events: dict[str, Counter[str]], tally: list[str]
) -> None:
    family = families()[name]
    outcome = compare(engine, family, draw_cases(family, number, SEED))
    shown = f"seed {SEED}: {outcome}"
    assert outcome.equal + outcome.ties == number, shown
    assert outcome.ties <= 0.01 * number, shown
    assert not is_long or missing(events_of(family), outcome.events) == set(), shown
    events[name] = outcome.events
    tally.append(f"fidelity, {name}: {outcome}")


def test_everything_happened_in_the_cases(events: dict[str, Counter[str]]) -> None:
    if events.keys() != families().keys():
        pytest.skip("needs the cases of all families")
    wanted = set().union(*map(events_of, families().values()))
    assert missing(wanted, sum(events.values(), Counter[str]())) == set(), f"seed {SEED}"


def missing(wanted: set[str], events: Counter[str]) -> set[str]:
    return {event for event in wanted if events[event] < OFTEN}


def test_one_pass_is_stop_append_resume_on_the_built_in_model(engines: Engines, tally: list[str]) -> None:
    engine = engines.start(FOLDER, markers=built_in().markers)
    outcome = compare(engine, built_in(), draw_problems(100, SEED))
    assert outcome.ties <= 1, f"seed {SEED}: {outcome}"
    happened = {"opened by force", "wait", "suppressed", "capped", "ended by model"}
    assert happened <= set(outcome.events), outcome
    tally.append(f"fidelity, {built_in().name}: {outcome}")


def events_of(family: Family) -> set[str]:
    """A start marker that is one token is barred from the outset; a spelt one only when it is about to be complete."""
    return EVENTS | ({"kept from opening"} if family.form.spelt_start else set())


def test_the_cases_contain_every_kind_of_budget_and_marker() -> None:
    cases = [case for family in families().values() for case in draw_cases(family, CASES, SEED)]
    assert {0, 1, 2, 9, 30, 60, None} <= {case.budget.cap for case in cases}
    assert {case.budget.waits for case in cases} == set(range(7))
    assert {len(case.family.form.end) for case in cases} == {1, 2, 3}
    assert {case.family.form.spelt_end for case in cases} == {False, True}
    assert {len(text) for case in cases for text in case.budget.texts} == set(range(6))
    assert {len(case.budget.texts) for case in cases} == {1, 2, 3}
    assert {case.where for case in cases} == {"before", "thinking", "answer"}
    assert {case.budget.per_block for case in cases} == {False, True}
    assert {case.family.markers.force_start for case in cases} == {False, True}
