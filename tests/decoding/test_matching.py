"""The table finds what a search in the text finds, however the text is divided into tokens."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenuto_decoding.matching import Hit, MarkerTable, Pattern, Step

# A vocabulary over three letters: every token of up to four, and one added token.
LETTERS = "ab<"
ADDED = chr(256)
TOKENS = [ADDED]
for _ in range(4):
    TOKENS += [text + letter for text in [*TOKENS[1:], ""] for letter in LETTERS if text + letter not in TOKENS]

texts = st.text(LETTERS + ADDED, min_size=1, max_size=5)
patterns = st.lists(texts, min_size=1, max_size=3, unique=True)
divisions = st.lists(st.sampled_from(range(len(TOKENS))), max_size=25)


def whole(text: str) -> Pattern:
    return Pattern(text, len(text), len(text))


def steps(table: MarkerTable, state: int, tokens: Sequence[int]) -> list[Step]:
    taken = []
    for token in tokens:
        taken.append(table.step(state, token))
        state = taken[-1].state
    return taken


def first_end(text: str, wanted: Sequence[str]) -> tuple[int, str] | None:
    """Where the first of the texts is complete, and the longest that is complete there."""
    for end in range(1, len(text) + 1):
        found = [each for each in wanted if text[:end].endswith(each)]
        if found:
            return end, max(found, key=len)
    return None


@given(patterns, patterns, divisions)
def test_the_first_marker_is_found_in_the_token_that_completes_it(
    ends: list[str], openers: list[str], tokens: list[int]
) -> None:
    openers = [text for text in openers if text not in ends]
    table = MarkerTable(
        [whole("ab")], list(map(whole, ends)), list(map(whole, openers)), tokens=enumerate(TOKENS), spell=lambda _: (0,)
    )
    expected, begin = first_end("".join(TOKENS[token] for token in tokens), ends + openers), 0
    for token, step in zip(tokens, steps(table, table.inside, tokens), strict=True):
        if expected is None or begin + len(TOKENS[token]) < expected[0]:
            assert not step.hit
            begin += len(TOKENS[token])
            continue
        end, marker = expected
        used = min(end - begin, len(marker) + 1)
        assert step[1:] == (Hit.END if marker in ends else Hit.OPENER, used, len(marker))
        break


@given(patterns, divisions)
def test_the_state_is_the_longest_beginning_that_the_text_ends_in(ends: list[str], tokens: list[int]) -> None:
    table = MarkerTable([whole("ab")], list(map(whole, ends)), tokens=enumerate(TOKENS), spell=lambda _: (0,))
    text = ""
    for token, step in zip(tokens, steps(table, table.inside, tokens), strict=True):
        text += TOKENS[token]
        if step.hit:
            break
        sizes = [size for end in ends for size in range(len(end)) if text.endswith(end[:size])]
        assert table.depths[step.state] == max(sizes)


@given(st.lists(texts, min_size=1, max_size=2), st.lists(texts, min_size=1, max_size=2), texts, divisions)
def test_the_last_marker_of_a_prompt_is_found_in_its_last_tokens(
    starts: list[str], ends: list[str], turn: str, tokens: list[int]
) -> None:
    wanted = {turn: Hit.TURN} | dict.fromkeys(ends, Hit.END) | dict.fromkeys(starts, Hit.START)
    table = MarkerTable(
        list(map(whole, starts)), list(map(whole, ends)), (), (turn,), enumerate(TOKENS), lambda _: (0,)
    )
    for stop in range(len(tokens)):
        text, last = "".join(TOKENS[token] for token in tokens[: stop + 1]), len(TOKENS[tokens[stop]])
        complete = [
            (end, len(each), each)
            for end in range(len(text) - last + 1, len(text) + 1)
            for each in wanted
            if text[:end].endswith(each)
        ]
        hit = table.last_hit(tokens[max(stop + 1 - table.longest, 0) : stop + 1])
        assert hit == (wanted[max(complete)[2]] if complete else Hit.NOTHING)
        assert not hit or tokens[stop] in table.completing


@pytest.mark.parametrize("letters", ["ab", "a", ADDED])
def test_attempts_are_the_tokens_after_which_a_marker_has_begun(letters: str) -> None:
    table = MarkerTable(
        [whole("b<")], [Pattern(letters + "<<", len(letters), 9)], tokens=enumerate(TOKENS), spell=lambda _: (0,)
    )
    begun = {text for text in TOKENS if text.endswith((letters, letters + "<")) or letters + "<<" in text}
    assert {TOKENS[token] for token in table.ends[table.inside]} == begun


def test_after_a_marker_the_rest_of_the_token_is_searched_for_the_next_one() -> None:
    table = MarkerTable([whole("<a")], [whole("bb")], tokens=enumerate(TOKENS), spell=lambda _: (0,))
    step = table.step(table.inside, TOKENS.index("bb<"))
    assert (step.hit, step.size) == (Hit.END, 2)
    assert table.step(step.state, TOKENS.index("a")).hit is Hit.START
