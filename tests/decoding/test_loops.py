"""Loops: what is noticed as one, against a look at the whole text; and how they end thinking."""

from hypothesis import given
from hypothesis import strategies as st

from tenuto_decoding.loops import MAX_PATTERN, MIN_REPEATS, LoopWatch, longest_pattern


def loops(text: list[int], size: int) -> bool:
    """Plainly: whether the last `size` tokens, from the third of them on, equal those a pattern's length before."""
    tail = text[-size:]
    patterns = range(1, longest_pattern(size) + 1)
    return len(tail) == size and any(tail[length:] == tail[:-length] for length in patterns)


@given(st.integers(8, 30), st.lists(st.lists(st.integers(0, 2), max_size=9), max_size=4), st.integers(1, 9))
def test_a_loop_is_noticed_at_the_token_that_completes_it(size: int, pieces: list[list[int]], times: int) -> None:
    text = [token for piece in pieces for token in piece * times]
    watch = LoopWatch(size)
    for place, token in enumerate(text):
        watch.take(token)
        assert watch.found == loops(text[: place + 1], size)


def test_a_new_block_begins_from_nothing() -> None:
    watch = LoopWatch(8)
    for token in [1] * 8:
        watch.take(token)
    assert watch.found
    watch.begin()
    assert not watch.found
    for token in [1] * 7:
        watch.take(token)
    assert not watch.found


def test_the_longest_pattern() -> None:
    size = MIN_REPEATS * MAX_PATTERN
    for length, found in ((MAX_PATTERN, True), (MAX_PATTERN + 1, False)):
        watch = LoopWatch(size)
        for token in list(range(length)) * (MIN_REPEATS + 1):
            watch.take(token)
        assert watch.found == found


def test_without_a_size_nothing_is_looked_for() -> None:
    watch = LoopWatch(0)
    for token in [1] * 999:
        watch.take(token)
    assert not watch.found
    assert not watch.recent
