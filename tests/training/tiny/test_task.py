"""Bills, and the bills held out from training."""

import random
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from tenuto_training.tiny.task import CHUNK, GOODS, MAX_ITEMS, Bill, Item, held_out_bills, random_bill, training_bills

BILL = Bill((Item("tea", 4), Item("soup", 7), Item("cake", 9)))


def test_the_phrasings_of_a_bill() -> None:
    assert BILL.question() == "Add up this bill: tea 4, soup 7, cake 9"
    assert BILL.question(1) == "How much is tea 4, soup 7, cake 9?"
    assert BILL.question(2) == "What is the total of tea 4 and soup 7 and cake 9?"
    assert BILL.total == 20


def test_the_held_out_bills_are_distinct_and_the_same_in_every_run() -> None:
    bills = held_out_bills(400)
    assert len(set(bills)) == 400
    assert bills[:50] == held_out_bills(50)
    assert {len(bill.items) for bill in bills} == set(range(CHUNK, MAX_ITEMS + 1))


@given(st.integers(0, 2**32))
def test_no_training_bill_is_held_out(seed: int) -> None:
    assert not any(bill.held_out for bill in islice(training_bills(random.Random(seed)), 50))


def test_every_held_out_bill_is_marked_and_about_one_in_ten_bills_is_held_out() -> None:
    assert all(bill.held_out for bill in held_out_bills(400))
    rng = random.Random(0)
    assert 150 < sum(random_bill(rng).held_out for _ in range(2000)) < 250


def test_goods_on_a_bill_are_all_different() -> None:
    rng = random.Random(0)
    for _ in range(200):
        names = [item.name for item in random_bill(rng).items]
        assert len(set(names)) == len(names)
        assert set(names) <= set(GOODS)


def test_the_held_out_bills_have_no_invented_goods() -> None:
    names = {item.name for bill in held_out_bills(400) for item in bill.items}
    assert names == set(GOODS)
    trained = {item.name for bill in islice(training_bills(random.Random(0)), 500) for item in bill.items}
    assert trained - set(GOODS)
