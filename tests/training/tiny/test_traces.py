"""Traces: chains in chunks, which stop early or continue after a wait text."""

import random
from collections import Counter

import pytest

from tenuto_training.tiny.task import CHUNK, GOODS, Bill, Item
from tenuto_training.tiny.traces import STOP_PROBABILITY, WAIT_TEXTS, chunks, sample_trace

BILL = Bill(tuple(Item(name, price) for name, price in zip(GOODS[:7], (4, 7, 2, 9, 1, 1, 5), strict=True)))


def test_a_chain_adds_one_item_in_each_line() -> None:
    first, second, third = chunks(BILL)
    assert (
        first
        == "First comes tea: 0 + 4 = 4\nAfter tea comes coffee: 4 + 7 = 11\nAfter coffee comes milk: 11 + 2 = 13\n"
    )
    assert second.startswith("After milk comes juice: 13 + 9 = 22\n")
    assert third == "After soup comes bread: 24 + 5 = 29\n"


def test_a_trace_is_the_chain_up_to_some_chunk_with_remarks_between() -> None:
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(piece.text for piece in sample_trace(BILL, rng))
        lines = [line for line in text.splitlines(keepends=True) if "=" in line]
        whole = "".join(chunks(BILL)).splitlines(keepends=True)
        assert lines == whole[: len(lines)]
        assert len(lines) % CHUNK == 0 or len(lines) == len(whole)
        rest = [line for line in text.splitlines() if "=" not in line]
        early = rest if len(lines) < len(whole) else rest[:0]
        assert all(line.endswith(", there is more on the bill.") for line in early)
        assert all(line.endswith((" bill.", "The total is 29.")) for line in rest)


def test_after_every_chunk_a_stop_is_trained_more_often_than_a_continuation() -> None:
    rng = random.Random(0)
    stops: Counter[int] = Counter()
    goes_on: Counter[int] = Counter()
    for _ in range(30_000):
        pieces = sample_trace(BILL, rng)
        for done, piece in enumerate(pieces[1:3], 1):
            goes_on[done] += not piece.forced
        stops[len(pieces)] += len(pieces) < 3
    for done in (1, 2):
        assert stops[done] / (stops[done] + goes_on[done]) == pytest.approx(STOP_PROBABILITY, abs=0.03)


def test_pieces_after_a_stop_may_be_forced_but_the_first_is_not() -> None:
    rng = random.Random(0)
    traces = [sample_trace(BILL, rng) for _ in range(300)]
    assert not any(trace[0].forced for trace in traces)
    openings = {piece.text.partition(",")[0].split()[0] for trace in traces for piece in trace[1:]}
    assert openings >= set(filter(None, WAIT_TEXTS))
