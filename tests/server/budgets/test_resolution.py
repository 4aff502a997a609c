"""Defaults, precedence, and what is refused because it cannot be enforced."""

from typing import Any

import pytest
from vllm.sampling_params import SamplingParams

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.errors import InvalidBudget, UnknownMarkers
from tenuto_decoding.families import FAMILIES
from tenuto_server.budgets.defaults import Defaults
from tenuto_server.budgets.request_fields import BudgetRequest
from tenuto_server.budgets.resolution import Generation, ThinkingPolicy

CHAT = "<|im_start|>assistant\n"
NATIVE = "thinking_token_budget"


def generation(tokenizer: Any, prompt: str = CHAT, max_tokens: int = 900, context: int = 1000) -> Generation:
    return Generation(tokenizer.encode(prompt), SamplingParams(max_tokens=max_tokens), context=context)


def resolve(
    tokenizer: Any,
    body: dict[str, Any],
    *,
    prompt: str = CHAT,
    max_tokens: int = 900,
    context: int = 9000,
    **default: Any,
) -> ThinkingBudget | None:
    policy = ThinkingPolicy(FAMILIES["s1"], Defaults(budget=default))
    request = BudgetRequest.from_body(body)
    found = policy.resolve(request, generation(tokenizer, prompt, max_tokens, context), tokenizer)
    assert found is not None
    assert found.plan.enforced == (found.budget is not None)
    return found.budget


@pytest.mark.parametrize(
    ("body", "default", "expected"),
    [
        ({}, {}, None),
        ({"max_thinking_tokens": 9}, {}, {"max_thinking_tokens": 9}),
        ({NATIVE: 7}, {}, {"max_thinking_tokens": 7}),
        ({}, {"max_thinking_tokens": 5}, {"max_thinking_tokens": 5}),
        ({NATIVE: 7}, {"max_thinking_tokens": 5}, {"max_thinking_tokens": 7}),
        ({"num_waits": 2}, {"max_thinking_tokens": 5}, {"max_thinking_tokens": 5, "num_waits": 2}),
        ({"num_waits": 2, NATIVE: 7}, {"max_thinking_tokens": 5}, {"max_thinking_tokens": 7, "num_waits": 2}),
        # A requested zero counts as given.
        (
            {"min_thinking_tokens": 0},
            {"min_thinking_tokens": 50, "num_waits": 1},
            {"min_thinking_tokens": 0, "num_waits": 1},
        ),
        ({"num_waits": 0}, {}, {"num_waits": 0}),
        # An explicit field never fails on a default: the default yields.
        (
            {"max_thinking_tokens": 3},
            {"min_thinking_tokens": 50},
            {"max_thinking_tokens": 3, "min_thinking_tokens": 3},
        ),
        ({"max_thinking_tokens": 0}, {"num_waits": 4, "min_thinking_tokens": 50}, {"max_thinking_tokens": 0}),
        (
            {"min_thinking_tokens": 40},
            {"max_thinking_tokens": 5},
            {"max_thinking_tokens": 40, "min_thinking_tokens": 40},
        ),
    ],
    ids=str,
)
def test_explicit_fields_take_precedence_over_defaults(
    chatml: Any, body: dict[str, Any], default: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    budget = resolve(chatml, body, **default)
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
    for field in ("max_thinking_tokens", "min_thinking_tokens"):
        assert resolve(chatml, {field: 99 - around}, max_tokens=100) is not None
        with pytest.raises(InvalidBudget, match="max_tokens, which is 100") as refusal:
            resolve(chatml, {field: 100 - around}, max_tokens=100)
        assert refusal.value.field == field


@pytest.mark.parametrize(
    "body", [{}, {"num_waits": 1}, {"max_thinking_tokens": "unlimited"}, {"reasoning_effort": "max"}], ids=str
)
def test_a_reserve_is_a_cap_where_there_is_none(chatml: Any, body: dict[str, Any]) -> None:
    around = len(chatml.encode("<|im_start|>think\n<|im_start|>answer\nFinal Answer:"))
    policy = ThinkingPolicy(FAMILIES["s1"])
    request = BudgetRequest.from_body({**body, "answer_reserve_tokens": 200})
    resolution = policy.resolve(request, generation(chatml, CHAT, 400, 9000), chatml)
    assert resolution is not None
    assert resolution.budget is not None
    assert resolution.budget.max_thinking_tokens == 200 - around
    assert resolution.set_by["max_thinking_tokens"] == "answer_reserve_tokens"


def test_a_wait_text_that_equals_a_word_for_the_cap_is_a_text(chatml: Any) -> None:
    fields = {"num_waits": 1, "wait_text": "unlimited"}
    assert resolve(chatml, fields) == ThinkingBudget(num_waits=1, wait_text="unlimited")


def test_waits_are_refused_where_there_is_no_thinking(chatml: Any) -> None:
    for cap in (0, "auto"):
        with pytest.raises(InvalidBudget, match="2 need thinking") as refusal:
            resolve(chatml, {"max_thinking_tokens": cap, "num_waits": 2}, max_tokens=10, context=1000)
        assert refusal.value.field == "num_waits"


def test_no_opening_marker_is_needed_where_the_prompt_ends_in_thinking(chatml: Any) -> None:
    around = len(chatml.encode("\n<|im_start|>answer\nFinal Answer:"))
    opened = "<|im_start|>assistant\n<|im_start|>think\n"
    assert resolve(chatml, {"max_thinking_tokens": 99 - around}, prompt=opened, max_tokens=100) is not None
    with pytest.raises(InvalidBudget):
        resolve(chatml, {"max_thinking_tokens": 100 - around}, prompt=opened, max_tokens=100, context=1000)


def test_auto_leaves_the_answer_its_reserve(chatml: Any) -> None:
    around = len(chatml.encode("<|im_start|>think\n<|im_start|>answer\nFinal Answer:"))
    fields = {"max_thinking_tokens": "auto"}
    assert resolve(chatml, fields, max_tokens=8000, context=9000) == ThinkingBudget(
        max_thinking_tokens=8000 - around - 1024
    )
    assert resolve(chatml, fields, max_tokens=100, context=9000) == ThinkingBudget(
        max_thinking_tokens=100 - around - 25
    )
    assert resolve(chatml, fields, max_tokens=5, context=9000) == ThinkingBudget(max_thinking_tokens=0)


def test_a_floor_above_what_auto_results_in_is_refused(chatml: Any) -> None:
    with pytest.raises(
        InvalidBudget, match="min_thinking_tokens: 90 is above max_thinking_tokens, which is auto and results in"
    ):
        resolve(chatml, {"max_thinking_tokens": "auto", "min_thinking_tokens": 90}, max_tokens=100, context=9000)


def test_the_context_is_named_where_it_is_the_limit(chatml: Any) -> None:
    prompt = "<|im_start|>assistant\n"
    taken = len(chatml.encode(prompt))
    with pytest.raises(InvalidBudget, match=f"the {200 - taken} that the prompt's {taken} leave of .* context of 200"):
        resolve(chatml, {"max_thinking_tokens": 200}, prompt=prompt, max_tokens=200 - taken, context=200)


def test_what_the_request_has_not_given_yields_to_its_length(chatml: Any) -> None:
    """Neither a default nor an effort may leave a reply without an answer, and neither is a fault of the request."""
    around = len(chatml.encode("<|im_start|>think\n<|im_start|>answer\nFinal Answer:"))
    fitting = ThinkingBudget(max_thinking_tokens=100 - around - 25)
    assert resolve(chatml, {}, max_tokens=100, max_thinking_tokens=500) == fitting
    assert resolve(chatml, {}, max_tokens=100, max_thinking_tokens="auto") == fitting
    assert resolve(chatml, {"reasoning_effort": "high"}, max_tokens=100) == fitting
    assert resolve(chatml, {}, max_tokens=5, context=9000, max_thinking_tokens=500) == ThinkingBudget(
        max_thinking_tokens=0
    )
    floor = resolve(chatml, {}, max_tokens=100, min_thinking_tokens=500)
    assert floor == ThinkingBudget(min_thinking_tokens=100 - around - 25)


@pytest.mark.parametrize(
    ("body", "default", "expected", "set_by"),
    [
        (
            {"reasoning_effort": "low"},
            {"max_thinking_tokens": 50, "num_waits": 1},
            {"max_thinking_tokens": 1024, "num_waits": 1},
            {"max_thinking_tokens": "reasoning_effort", "num_waits": "default"},
        ),
        (
            {"reasoning_effort": "low", "max_thinking_tokens": 7},
            {},
            {"max_thinking_tokens": 7},
            {"max_thinking_tokens": "request"},
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 7}},
            {"cap_text": "So."},
            {"max_thinking_tokens": 7, "cap_text": "So."},
            {"max_thinking_tokens": "thinking.budget_tokens", "cap_text": "default"},
        ),
        ({"max_thinking_tokens": "unlimited"}, {"max_thinking_tokens": 5, "landing_tokens": 2}, {}, None),
        ({"reasoning_effort": "max"}, {"max_thinking_tokens": 5}, None, {}),
        ({"reasoning_effort": "none"}, {"num_waits": 3}, {"max_thinking_tokens": 0}, None),
        ({"reasoning_effort": "none", "num_waits": 3}, {}, {"num_waits": 3}, {"num_waits": "request"}),
        ({}, {"wait_text": ("Hmm",)}, None, {}),
    ],
    ids=str,
)
def test_explicit_fields_take_precedence_over_the_effort_and_that_over_defaults(
    chatml: Any,
    body: dict[str, Any],
    default: dict[str, Any],
    expected: dict[str, Any] | None,
    set_by: dict[str, str] | None,
) -> None:
    policy = ThinkingPolicy(FAMILIES["s1"], Defaults(budget=default))
    request = BudgetRequest.from_body(body)
    resolution = policy.resolve(request, generation(chatml, CHAT, 60_000, 64_000), chatml)
    assert resolution is not None
    assert resolution.budget == (None if expected is None else ThinkingBudget(**expected))
    assert set_by is None or resolution.set_by == set_by


def test_a_model_has_defaults_and_efforts_of_its_own(chatml: Any) -> None:
    own = Defaults(budget={"max_thinking_tokens": 5}, efforts={"low": {"max_thinking_tokens": 3}})
    policy = ThinkingPolicy(FAMILIES["s1"], Defaults(budget={"num_waits": 2}, models={"small": own}))

    def cap(**given: Any) -> int | None:
        found = policy.resolve(BudgetRequest(**given), generation(chatml, CHAT, 60_000, 64_000), chatml)
        budget = found.budget if found else None
        assert budget is not None
        assert budget.num_waits == 2
        return budget.max_thinking_tokens

    assert (cap(model="small"), cap(model="other"), cap()) == (5, None, None)
    assert (cap(model="small", effort="low"), cap(model="other", effort="low")) == (3, 1024)
    assert cap(model="small", effort="medium") == 4096


def test_a_requested_reserve_is_kept_by_every_cap(chatml: Any) -> None:
    around = len(chatml.encode("<|im_start|>think\n<|im_start|>answer\nFinal Answer:"))
    fields = {"max_thinking_tokens": "auto", "answer_reserve_tokens": 40}
    assert resolve(chatml, fields, max_tokens=100) == ThinkingBudget(max_thinking_tokens=60 - around)
    assert resolve(chatml, {"answer_reserve_tokens": 40}, max_tokens=100, max_thinking_tokens=90) == ThinkingBudget(
        max_thinking_tokens=60 - around
    )
    with pytest.raises(InvalidBudget, match="at least 40 of an answer") as refusal:
        resolve(chatml, {"max_thinking_tokens": 61 - around, "answer_reserve_tokens": 40}, max_tokens=100)
    assert refusal.value.field == "max_thinking_tokens"
    with pytest.raises(InvalidBudget, match="100 tokens of an answer") as refusal:
        resolve(chatml, {"answer_reserve_tokens": 100}, max_tokens=100)
    assert refusal.value.field == "answer_reserve_tokens"


def test_without_known_markers_there_is_no_budget_and_no_count(chatml: Any) -> None:
    policy = ThinkingPolicy(None)
    assert policy.resolve(BudgetRequest(effort="low"), generation(chatml), chatml) is None
    for request in (BudgetRequest({"num_waits": 1}), BudgetRequest(reserve=5)):
        with pytest.raises(UnknownMarkers, match="--thinking-family"):
            policy.resolve(request, generation(chatml), chatml)
