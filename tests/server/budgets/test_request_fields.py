"""Every name for a budget that a request may use, and the misspelt names that are refused."""

from typing import Any

import pytest

from tenuto_decoding.errors import InvalidBudget
from tenuto_server.budgets.other_names import CAP_PATHS
from tenuto_server.budgets.request_fields import BUDGET_REQUEST, CAP, BudgetRequest, PromptSource


def body_with(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    name, *rest = path
    if not rest:
        return {name: value}
    kind = {"type": "enabled"} if name == "thinking" else {}
    return {name: {**kind, **body_with(tuple(rest), value)}}


def dotted(path: tuple[str, ...]) -> str:
    return ".".join(path)


@pytest.mark.parametrize("path", CAP_PATHS, ids=dotted)
@pytest.mark.parametrize("value", [0, 1, 4096])
def test_every_name_for_the_cap_means_the_cap(path: tuple[str, ...], value: int) -> None:
    assert BudgetRequest.from_body(body_with(path, value)) == BudgetRequest({CAP: value}, dotted(path))


@pytest.mark.parametrize("path", CAP_PATHS, ids=dotted)
def test_minus_one_lifts_the_servers_default(path: tuple[str, ...]) -> None:
    assert BudgetRequest.from_body(body_with(path, -1)).fields == {CAP: "unlimited"}


@pytest.mark.parametrize("path", CAP_PATHS, ids=dotted)
@pytest.mark.parametrize("value", [-2, 1.0, True, "5", [5], float("nan"), float("inf"), 10**30, -1.0])
def test_a_wrong_cap_is_refused_under_the_name_that_was_used(path: tuple[str, ...], value: Any) -> None:
    with pytest.raises(InvalidBudget) as refusal:
        BudgetRequest.from_body(body_with(path, value))
    assert refusal.value.field == dotted(path)


@pytest.mark.parametrize("path", CAP_PATHS, ids=dotted)
@pytest.mark.parametrize("ours", [0, 7, "auto", "unlimited"])
def test_two_names_with_different_values_are_refused(path: tuple[str, ...], ours: Any) -> None:
    with pytest.raises(InvalidBudget, match="differs from max_thinking_tokens, which is") as refusal:
        BudgetRequest.from_body({CAP: ours, **body_with(path, 6)})
    assert refusal.value.field == dotted(path)


def test_two_names_with_one_value_are_one_cap() -> None:
    body: dict[str, Any] = {CAP: 6}
    for path in CAP_PATHS:
        body |= body_with(path, 6)
        assert BudgetRequest.from_body(body) == BudgetRequest({CAP: 6})


def test_two_other_names_that_differ_name_each_other() -> None:
    with pytest.raises(InvalidBudget, match="thinking_budget: 6 differs from thinking_token_budget, which is 5"):
        BudgetRequest.from_body({"thinking_token_budget": 5, "thinking_budget": 6})


@pytest.mark.parametrize(
    ("thinking", "fields"),
    [
        ({"type": "enabled"}, {}),
        ({"type": "adaptive"}, {}),
        ({"type": "auto"}, {}),
        ({"type": "disabled"}, {CAP: 0}),
        ({"type": "disabled", "budget_tokens": 0}, {CAP: 0}),
        ({"type": "enabled", "budget_tokens": None}, {}),
        (None, {}),
    ],
    ids=str,
)
def test_the_form_that_gateways_send(thinking: Any, fields: dict[str, Any]) -> None:
    assert BudgetRequest.from_body({"thinking": thinking}).fields == fields


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"thinking": "enabled"}, "thinking"),
        ({"thinking": {"budget_tokens": 5}}, "thinking"),
        ({"thinking": {"type": "on"}}, "thinking"),
        ({"thinking": {"type": ["enabled"]}}, "thinking"),
        ({"thinking": {"type": "disabled", "budget_tokens": 5}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budgetTokens": 5}}, "thinking.budgetTokens"),
        ({"nvext": {"max_thinking_token": 5}}, "nvext.max_thinking_token"),
        ({"nvext": {"min_thinking_tokens": 5}}, "nvext.min_thinking_tokens"),
        ({"chat_template_kwargs": {"max_thinking_tokens": 5}}, "chat_template_kwargs.max_thinking_tokens"),
        ({"custom_params": {"thinkingBudget": 5}}, "custom_params.thinkingBudget"),
        ({"reasoning": {"max_thinking_tokens": 5}}, "reasoning.max_thinking_tokens"),
        ({"extra_body": {"max_thinking_tokens": 5}}, "extra_body"),
        ({"thinkingTokenBudget": 5}, "thinkingTokenBudget"),
        ({"thinkingBudget": 5}, "thinkingBudget"),
        ({"budget_tokens": 5}, "budget_tokens"),
        ({"reasoning_max_tokens": 5}, "reasoning_max_tokens"),
        ({"reasoningEffort": "low"}, "reasoningEffort"),
        ({"answer_reserve": 5}, "answer_reserve"),
        ({"answer_reserve_tokens": -5}, "answer_reserve_tokens"),
        ({"answer_reserve_tokens": "5"}, "answer_reserve_tokens"),
        ({"reasoning_effort": "lots"}, "reasoning_effort"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"reasoning_effort": ["low"]}, "reasoning_effort"),
        ({"reasoning": {"effort": "lots"}}, "reasoning.effort"),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, "reasoning.effort"),
        ({CAP: "much"}, CAP),
        ({"nvext": 7}, "nvext"),
        ({"reasoning": "low"}, "reasoning"),
        ({"chat_template_kwargs": ["a"]}, "chat_template_kwargs"),
        ({"output_config": True}, "output_config"),
        ({"enable_thinking": "no"}, "enable_thinking"),
        ({"enable_thinking": 0}, "enable_thinking"),
        ({"enable_thinking": False, CAP: 5}, "enable_thinking"),
        ({"reasoning": {"enabled": "no"}}, "reasoning.enabled"),
        ({CAP: 5, "vllm_xargs": {CAP: 50}}, f"vllm_xargs.{CAP}"),
        ({"vllm_xargs": {"answer_reserve_tokens": -5000}}, "answer_reserve_tokens"),
        ({"vllm_xargs": {"answer_reserve_tokens": "1"}}, "answer_reserve_tokens"),
        ({"vllm_xargs": {"reasoning_effort": "bogus"}}, "reasoning_effort"),
        ({"vllm_xargs": {"max_thinking_token": 5}}, "max_thinking_token"),
        (dict.fromkeys(map(str, range(257))), "body"),
        ({"vllm_xargs": dict.fromkeys(map(str, range(257)))}, "vllm_xargs"),
        ({"chat_template_kwargs": dict.fromkeys(map(str, range(257)))}, "chat_template_kwargs"),
        ({CAP: "unlimited", "landing_tokens": 5}, "landing_tokens"),
        ({CAP: 5, "min_thinking_tokens": 6}, "min_thinking_tokens"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_refused_names_the_field(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidBudget) as refusal:
        BudgetRequest.from_body(body)
    assert refusal.value.field == field


def test_switches_of_other_servers_turn_thinking_off() -> None:
    assert BudgetRequest.from_body({"enable_thinking": False}) == BudgetRequest({CAP: 0}, "enable_thinking")
    assert BudgetRequest.from_body({"reasoning": {"enabled": False}}) == BudgetRequest({CAP: 0}, "reasoning.enabled")
    assert BudgetRequest.from_body({"enable_thinking": True, "reasoning": {"enabled": True}}) == BudgetRequest()


def test_fields_among_vllms_further_arguments_mean_the_same() -> None:
    assert BudgetRequest.from_body({"vllm_xargs": {CAP: 5, "reasoning_effort": "low", "else": 1}}) == BudgetRequest(
        {CAP: 5}, effort="low"
    )
    assert BudgetRequest.from_body({CAP: 5, "vllm_xargs": {CAP: 5}}) == BudgetRequest({CAP: 5})


def test_an_effort_may_be_nested_as_in_the_responses_api() -> None:
    assert BudgetRequest.from_body({"reasoning": {"effort": "low"}}).effort == "low"
    assert BudgetRequest.from_body({"reasoning": {"effort": "low"}, "reasoning_effort": "low"}).effort == "low"
    assert BudgetRequest.from_body({"reasoning_effort": None}).effort is None


def test_the_parsed_request_travels_under_its_key_and_vllms_own_requests_have_none() -> None:
    request = BudgetRequest({CAP: "auto", "wait_text": ["a", "b"]}, "nvext.max_thinking_tokens", "low", 7, "small")
    assert BudgetRequest.from_extra_args({"of": "others", BUDGET_REQUEST: request}) is request
    of_the_engine = BudgetRequest(source=PromptSource.ENGINE)
    assert BudgetRequest.from_extra_args({"of": "others"}) == BudgetRequest.from_extra_args(None) == of_the_engine
