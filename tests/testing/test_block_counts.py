"""Thinking is counted between the markers, whatever closed it."""

from dataclasses import replace
from typing import Any

import pytest

from tenuto_testing.block_counts import Block, blocks_in, respects_cap
from tenuto_testing.cases import Case, families
from tenuto_testing.reference import ReferenceBudget


def case(name: str, **budget: Any) -> Case:
    return Case(
        family=families()[name], prompt=(), where="before", limit=99, fields={}, budget=ReferenceBudget(**budget)
    )


ONE, TWO, SPELT = "think-like, one token", "s1-like, two tokens", "spelt, two tokens"


def test_tokens_between_the_markers() -> None:
    made = case(ONE, cap=3)
    start, end = made.family.form.start, made.family.form.end
    a = made.family.innocent[0]
    ids = (*start, a, a, *end, a, *start, a)
    assert blocks_in(made, ids) == [Block(2, 2), Block(1, 1)]
    assert respects_cap(made, ids, 3)
    assert not respects_cap(made, ids, 2)
    assert not respects_cap(case(ONE, cap=2), ids, 3)
    assert respects_cap(case(ONE, cap=2, per_block=True), ids, 3)
    assert not respects_cap(case(ONE, cap=1, per_block=True), ids, 3)
    assert blocks_in(replace(made, where="thinking"), (a, *end)) == [Block(1, 1)]
    assert blocks_in(made, (*start, a, *made.family.form.also_ends, a)) == [Block(1, 1)]


@pytest.mark.parametrize("cap_text", [False, True])
def test_a_newline_that_closes_need_not_count(cap_text: bool) -> None:
    made = case(TWO)
    form, (a, b, *_) = made.family.form, made.family.innocent
    made = replace(made, budget=ReferenceBudget(cap=3 if cap_text else 2, cap_text=(b,) if cap_text else ()))
    ids = (*form.start, a, a, *form.newline, *((b,) if cap_text else ()), *form.end)
    count = 3 if cap_text else 2
    assert blocks_in(made, ids) == [Block(count, count + 1)]
    assert respects_cap(made, ids, count)
    assert not respects_cap(made, ids, count + 1)


def test_a_marker_that_the_limit_has_cut() -> None:
    for name in (TWO, SPELT):
        made = case(name, cap=2)
        form, a = made.family.form, made.family.innocent[0]
        ids = (*form.start, a, a, form.end[0])
        assert blocks_in(made, ids) == [Block(2, 3)]
        assert respects_cap(made, ids, 2)


def test_a_marker_that_the_forced_one_completes_with_its_beginning() -> None:
    """The cap falls behind A B, and A B A is forced: the report counts to the cap, the markers say two tokens less."""
    made = case("spelt, A B A", cap=4)
    form, (a, *_) = made.family.form, made.family.innocent
    first, second, _ = form.end
    ids = (*form.start, a, a, first, second, *form.end, a)
    assert blocks_in(made, ids) == [Block(2, 4)]
    assert respects_cap(made, ids, 4)
    assert not respects_cap(made, ids, 5)
    assert blocks_in(made, (*form.start, a, a, *form.end, second, a)) == [Block(2, 2)]
    assert blocks_in(made, (*form.start, a, a, *form.end)) == [Block(2, 2)]


def test_a_cap_text_that_the_limit_has_cut() -> None:
    """The newline before it does not count, but what has been written of it does."""
    made = case(TWO)
    form, (a, b, c, *_) = made.family.form, made.family.innocent
    made = replace(made, budget=ReferenceBudget(cap=5, cap_text=(b, c, b)))
    for written in ((), (b,), (b, c), (b, c, b)):
        ids = (*form.start, a, a, *form.newline, *written)
        assert blocks_in(made, ids) == [Block(2 + len(written), 3 + len(written))]
        assert respects_cap(made, ids, 2 + len(written))
    assert blocks_in(made, (*form.start, a, *form.newline, b, a)) == [Block(4, 4)]
    assert blocks_in(made, (*form.start, a, *form.newline, b, *form.end)) == [Block(3, 3)]
