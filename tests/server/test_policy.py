"""Defaults, precedence, and what is refused because it could not be kept."""

from typing import Any

import pytest

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.errors import InvalidBudget, UnknownMarkers
from tenuto_decoding.markers import FAMILIES
from tenuto_server.policy import Room, ThinkingPolicy

ROOMY = Room(max_tokens=900, context=1000)


def resolve(
    tokenizer: Any,
    asked: dict[str, Any],
    *,
    native: int | None = None,
    prompt: str = "<|im_start|>assistant\n",
    room: Room = ROOMY,
    **default: Any,
) -> ThinkingBudget | None:
    policy = ThinkingPolicy(FAMILIES["s1"], ThinkingBudget(**default) if default else None)
    budget, plan = policy.resolve(asked, native, tokenizer.encode(prompt), tokenizer, room)
    assert plan is not None
    assert plan.enforced == (budget is not None)
    return budget


@pytest.mark.parametrize(
    ("asked", "native", "default", "expected"),
    [
        ({}, None, {}, None),
        ({"max_thinking_tokens": 9}, None, {}, {"max_thinking_tokens": 9}),
        ({}, 7, {}, {"max_thinking_tokens": 7}),
        ({"max_thinking_tokens": 9}, 7, {}, {"max_thinking_tokens": 9}),
        ({}, None, {"max_thinking_tokens": 5}, {"max_thinking_tokens": 5}),
        ({}, 7, {"max_thinking_tokens": 5}, {"max_thinking_tokens": 7}),
        ({"num_waits": 2}, None, {"max_thinking_tokens": 5}, {"max_thinking_tokens": 5, "num_waits": 2}),
        ({"num_waits": 2}, 7, {"max_thinking_tokens": 5}, {"max_thinking_tokens": 7, "num_waits": 2}),
        # A zero that is asked for is an answer too.
        (
            {"min_thinking_tokens": 0},
            None,
            {"min_thinking_tokens": 50, "num_waits": 1},
            {"min_thinking_tokens": 0, "num_waits": 1},
        ),
        ({"num_waits": 0}, None, {}, {"num_waits": 0}),
        # What is explicit never fails on a default: the default yields.
        (
            {"max_thinking_tokens": 3},
            None,
            {"min_thinking_tokens": 50},
            {"max_thinking_tokens": 3, "min_thinking_tokens": 3},
        ),
        ({"max_thinking_tokens": 0}, None, {"num_waits": 4, "min_thinking_tokens": 50}, {"max_thinking_tokens": 0}),
        (
            {"min_thinking_tokens": 40},
            None,
            {"max_thinking_tokens": 5},
            {"max_thinking_tokens": 40, "min_thinking_tokens": 40},
        ),
    ],
    ids=str,
)
def test_explicit_fields_come_before_the_native_cap_and_that_before_the_default(
    chatml: Any, asked: dict[str, Any], native: int | None, default: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    budget = resolve(chatml, asked, native=native, **default)
    assert budget == (None if expected is None else ThinkingBudget(**expected))


def test_a_default_floor_is_left_out_where_the_prompt_has_closed_the_thinking(chatml: Any) -> None:
    closed = "<|im_start|>assistant\n<|im_start|>think\nso\n<|im_start|>answer\n"
    assert resolve(chatml, {}, prompt=closed, min_thinking_tokens=9, num_waits=1) is None
    capped = resolve(chatml, {}, prompt=closed, min_thinking_tokens=9, max_thinking_tokens=9)
    assert capped == ThinkingBudget(max_thinking_tokens=9)


@pytest.mark.parametrize("field", ["min_thinking_tokens", "num_waits"])
def test_an_explicit_floor_is_refused_where_the_prompt_has_closed_the_thinking(chatml: Any, field: str) -> None:
    with pytest.raises(InvalidBudget, match="closed") as refusal:
        resolve(chatml, {field: 3}, prompt="<|im_start|>assistant\n<|im_start|>answer\n")
    assert refusal.value.field == field


def test_the_answer_needs_room_after_the_longest_thinking(chatml: Any) -> None:
    """Around the thinking: opening marker, newline, closing marker, answer prefix; and one token of an answer."""
    around = len(chatml.encode("<|im_start|>think\n<|im_start|>answer\nFinal Answer:"))
    room = Room(max_tokens=100, context=1000)
    for field in ("max_thinking_tokens", "min_thinking_tokens"):
        assert resolve(chatml, {field: 99 - around}, room=room) is not None
        with pytest.raises(InvalidBudget, match="max_tokens, which is 100") as refusal:
            resolve(chatml, {field: 100 - around}, room=room)
        assert refusal.value.field == field


def test_no_opening_marker_is_needed_where_the_prompt_ends_in_thinking(chatml: Any) -> None:
    around = len(chatml.encode("\n<|im_start|>answer\nFinal Answer:"))
    opened = "<|im_start|>assistant\n<|im_start|>think\n"
    assert resolve(chatml, {"max_thinking_tokens": 99 - around}, prompt=opened, room=Room(100, 1000)) is not None
    with pytest.raises(InvalidBudget):
        resolve(chatml, {"max_thinking_tokens": 100 - around}, prompt=opened, room=Room(100, 1000))


def test_auto_leaves_the_answer_its_reserve(chatml: Any) -> None:
    around = len(chatml.encode("<|im_start|>think\n<|im_start|>answer\nFinal Answer:"))
    wish = {"max_thinking_tokens": "auto"}
    assert resolve(chatml, wish, room=Room(8000, 9000)) == ThinkingBudget(max_thinking_tokens=8000 - around - 1024)
    assert resolve(chatml, wish, room=Room(100, 9000)) == ThinkingBudget(max_thinking_tokens=100 - around - 25)
    assert resolve(chatml, wish, room=Room(5, 9000)) == ThinkingBudget(max_thinking_tokens=0)


def test_a_floor_above_what_auto_comes_to_is_refused(chatml: Any) -> None:
    with pytest.raises(InvalidBudget, match="min_thinking_tokens: 90 is above max_thinking_tokens"):
        resolve(chatml, {"max_thinking_tokens": "auto", "min_thinking_tokens": 90}, room=Room(100, 9000))


def test_the_context_is_named_where_it_is_what_binds(chatml: Any) -> None:
    prompt = "<|im_start|>assistant\n"
    taken = len(chatml.encode(prompt))
    with pytest.raises(InvalidBudget, match=f"the {200 - taken} that the prompt's {taken} leave of .* context of 200"):
        resolve(chatml, {"max_thinking_tokens": 200}, prompt=prompt, room=Room(200 - taken, 200))


def test_a_default_that_does_not_fit_is_no_fault_of_the_request(chatml: Any) -> None:
    assert resolve(chatml, {}, room=Room(10, 1000), max_thinking_tokens=500) is not None


def test_without_known_markers_there_is_no_budget_and_no_count(chatml: Any) -> None:
    policy = ThinkingPolicy(None, None)
    assert policy.resolve({}, None, [1], chatml, ROOMY) == (None, None)
    with pytest.raises(UnknownMarkers, match="--thinking-family"):
        policy.resolve({"num_waits": 1}, None, [1], chatml, ROOMY)
