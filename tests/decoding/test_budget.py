"""The budget: what is taken, and that every refusal names the field, the value and the bound."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenuto_decoding import FIELDS, InvalidBudget, ThinkingBudget, ThinkingError
from tenuto_decoding.budget import (
    LONGEST_MISSPELLING,
    MAX_TEXT_LENGTH,
    MAX_TOKENS,
    MAX_WAIT_TEXTS,
    MAX_WAITS,
    _resembled,
    resembled_field,
)

COUNTS = ("max_thinking_tokens", "min_thinking_tokens", "num_waits", "landing_tokens")


def test_a_budget_without_fields_has_no_bounds() -> None:
    budget = ThinkingBudget()
    assert budget.max_thinking_tokens is None
    assert (budget.min_thinking_tokens, budget.num_waits, budget.landing_tokens) == (0, 0, 0)
    assert (budget.wait_text, budget.cap_text, budget.scope) == (None, None, "response")
    assert not budget.extends


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("value", [-1, 1.5, 2.0, float("nan"), float("inf"), True, "12", [1], 2**63])
def test_a_count_is_a_whole_number_within_bounds(field: str, value: Any) -> None:
    with pytest.raises(InvalidBudget, match=field) as caught:
        ThinkingBudget(**{field: value})
    assert caught.value.field == field
    assert repr(value) in str(caught.value)


def test_bounds_are_in_the_message() -> None:
    with pytest.raises(InvalidBudget, match=f"not between 0 and {MAX_TOKENS}"):
        ThinkingBudget(max_thinking_tokens=-3)
    with pytest.raises(InvalidBudget, match=f"not between 0 and {MAX_WAITS}"):
        ThinkingBudget(num_waits=MAX_WAITS + 1)


def test_a_float_that_is_meant_for_an_integer_gets_the_integer_suggested() -> None:
    with pytest.raises(InvalidBudget, match="did you mean 2"):
        ThinkingBudget(num_waits=2.0)  # type: ignore[arg-type]


def test_the_floor_is_at_most_the_cap() -> None:
    assert ThinkingBudget(max_thinking_tokens=5, min_thinking_tokens=5).extends
    with pytest.raises(InvalidBudget, match="6 is above max_thinking_tokens, which is 5") as caught:
        ThinkingBudget(max_thinking_tokens=5, min_thinking_tokens=6)
    assert caught.value.field == "min_thinking_tokens"


def test_a_landing_needs_a_cap() -> None:
    with pytest.raises(InvalidBudget, match="needs a max_thinking_tokens"):
        ThinkingBudget(landing_tokens=4)


@pytest.mark.parametrize("value", [3, b"Wait", [], (), ["Wait", 3], {"a": 1}])
def test_wait_text_is_a_text_or_a_list_of_texts(value: Any) -> None:
    with pytest.raises(InvalidBudget, match="wait_text"):
        ThinkingBudget(wait_text=value)


def test_a_list_of_wait_texts_is_kept_as_a_tuple() -> None:
    budget = ThinkingBudget(wait_text=["Wait", ""])  # type: ignore[arg-type]
    assert budget.wait_text == ("Wait", "")
    assert hash(budget) == hash(ThinkingBudget(wait_text=("Wait", "")))


def test_texts_are_bounded() -> None:
    with pytest.raises(InvalidBudget, match=f"at most {MAX_TEXT_LENGTH}"):
        ThinkingBudget(cap_text="x" * (MAX_TEXT_LENGTH + 1))
    with pytest.raises(InvalidBudget, match=f"at most {MAX_WAIT_TEXTS}"):
        ThinkingBudget(wait_text=("Wait",) * (MAX_WAIT_TEXTS + 1))


@pytest.mark.parametrize("text", ["a <|im_end|>", "</think>", "<think>", "[/THINK]", "</seed:think>", "<｜User｜>"])
@pytest.mark.parametrize("field", ["wait_text", "cap_text"])
def test_texts_cannot_smuggle_control_tokens_in(field: str, text: str) -> None:
    with pytest.raises(InvalidBudget, match="control token or marker") as caught:
        ThinkingBudget(**{field: text})  # type: ignore[arg-type]
    assert caught.value.field == field


def test_texts_may_hold_angle_brackets() -> None:
    assert ThinkingBudget(cap_text="if x < 3 and y > 2 or a | b:\n").cap_text


def test_scope_is_one_of_two() -> None:
    with pytest.raises(InvalidBudget, match="'reply' is not one of 'response', 'block'"):
        ThinkingBudget(scope="reply")  # type: ignore[arg-type]


def test_errors_share_a_root_that_is_a_value_error() -> None:
    assert issubclass(InvalidBudget, ThinkingError)
    assert issubclass(ThinkingError, ValueError)


def test_a_mapping_without_budget_fields_is_no_budget() -> None:
    assert ThinkingBudget.from_mapping({}) is None
    assert ThinkingBudget.from_mapping({"max_thinking_tokens": None, "other": 3}) is None


def test_a_mapping_gives_its_fields() -> None:
    budget = ThinkingBudget.from_mapping({"max_thinking_tokens": 7, "num_waits": 0, "other": object()})
    assert budget == ThinkingBudget(max_thinking_tokens=7)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("max_thinking_token", "max_thinking_tokens"),
        ("maxThinkingTokens", "max_thinking_tokens"),
        ("min-thinking-tokens", "min_thinking_tokens"),
        ("thinkingBudget", "max_thinking_tokens"),
        ("reasoning_max_tokens", "max_thinking_tokens"),
        ("num_wait", "num_waits"),
        ("wait_texts", "wait_text"),
        ("landing_token", "landing_tokens"),
    ],
)
def test_a_misspelt_field_is_refused_with_the_right_name(name: str, meant: str) -> None:
    with pytest.raises(InvalidBudget, match=f"did you mean {meant}") as caught:
        ThinkingBudget.from_mapping({name: 3})
    assert caught.value.field == name


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "min_tokens", "max_completion_tokens", "temperature", "stop", "n", "seed", "thinking", "text"],
)
def test_other_peoples_fields_are_left_alone(name: str) -> None:
    assert resembled_field(name) is None


def test_long_names_are_neither_compared_nor_remembered() -> None:
    remembered = _resembled.cache_info().currsize
    assert resembled_field("max_thinking_tokens" + "x" * LONGEST_MISSPELLING) is None
    assert _resembled.cache_info().currsize == remembered


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "max_thinking_tokens": st.integers(50, MAX_TOKENS),
            "min_thinking_tokens": st.integers(0, 50),
            "num_waits": st.integers(0, MAX_WAITS),
            "wait_text": st.sampled_from(["Wait", "", ("Wait", "Hmm")]),
            "cap_text": st.sampled_from(["", "Time is up.\n"]),
            "scope": st.sampled_from(["response", "block"]),
        },
    )
)
def test_a_budget_is_read_back_from_its_dictionary(entries: dict[str, Any]) -> None:
    budget = ThinkingBudget(**entries)
    assert ThinkingBudget.from_mapping(budget.to_dict()) == budget
    assert set(budget.to_dict()) <= set(FIELDS)
