"""The random cases that are carried out on the V2 model runner, in one process, and compared in another."""

from dataclasses import replace

from tenuto_testing.cases import Case, draw_cases, families

#: Of each family; drafts cost the interpreter a row each.
EACH = {"plain": 4, "drafts": 2}
SEED, LIMIT = 11, 60


def cases_of(how: str) -> list[tuple[str, Case]]:
    """Some of every family, by the names under which their reports are asked for."""
    drawn = [case for family in families().values() for case in draw_cases(family, EACH[how], SEED)]
    short = [replace(case, limit=min(case.limit, LIMIT)) for case in drawn]
    return [(f"{case.family.name} {number}", case) for number, case in enumerate(short)]
