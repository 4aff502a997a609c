"""A cap of 0 is the chat template's own form of a prompt without thinking, where it has one."""

from dataclasses import replace
from typing import Any

import pytest
from vllm.sampling_params import SamplingParams

from tenuto_decoding.actions import Redirect
from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.errors import InvalidBudget
from tenuto_decoding.families import FAMILIES
from tenuto_decoding.prompt import Phase
from tenuto_server.budgets.defaults import BUILT_IN, Defaults
from tenuto_server.budgets.request_fields import CAP, EFFORT, BudgetRequest
from tenuto_server.budgets.resolution import Generation, ThinkingPolicy

SWITCH = {"enable_thinking": False}
MARKERS = replace(FAMILIES["think"], off_switch=tuple(SWITCH.items()))
CLOSED = "<|im_start|>assistant\n<think>\n\n</think>\n\n"


def variables(body: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    policy = ThinkingPolicy(MARKERS, Defaults(**defaults, built_in=BUILT_IN))
    return dict(policy.template_variables(BudgetRequest.from_body(body)))


@pytest.mark.parametrize(
    "body",
    [
        {CAP: 0},
        {EFFORT: "none"},
        {"reasoning": {"effort": "none"}},
        {"reasoning": {"enabled": False}},
        {"thinking": {"type": "disabled"}},
        {"thinking": {"type": "enabled", "budget_tokens": 0}},
        {"enable_thinking": False},
        {"think": False},
        {"thinking_token_budget": 0},
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}},
        {"vllm_xargs": {CAP: 0}},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"chat_template_kwargs": {"thinking": False}, CAP: 9},  # which is a cap of 0, whatever other cap there is
        {CAP: 0, EFFORT: "high"},
        {CAP: 0, "cap_text": "x"},
    ],
    ids=str,
)
def test_every_way_to_say_a_cap_of_0_switches_thinking_off(body: dict[str, Any]) -> None:
    assert variables(body) == SWITCH


@pytest.mark.parametrize(
    "body",
    [
        {},
        {CAP: 1},
        {CAP: "auto"},
        {CAP: "unlimited", EFFORT: "none"},
        {EFFORT: "low"},
        {"enable_thinking": True},
        {"chat_template_kwargs": {"enable_thinking": True}},
        {EFFORT: "none", "min_thinking_tokens": 3},  # the effort yields
        {EFFORT: "none", "num_waits": 1},
    ],
    ids=str,
)
def test_nothing_else_does(body: dict[str, Any]) -> None:
    assert variables(body) == {}


def test_so_do_the_operators_cap_and_table() -> None:
    assert variables({}, budget={CAP: 0}) == SWITCH
    assert variables({CAP: 5}, budget={CAP: 0}) == {}
    assert variables({"num_waits": 1}, budget={CAP: 0}) == {}
    assert variables({EFFORT: "low"}, efforts={"low": {CAP: 0}}) == SWITCH
    assert variables({EFFORT: "low"}, budget={CAP: 0}, efforts={"low": {CAP: 9}}) == {}
    own = {"a": Defaults(budget={CAP: 0})}
    assert variables({"model": "a"}, budget={CAP: 9}, models=own) == SWITCH
    assert variables({"model": "b"}, budget={CAP: 9}, models=own) == {}


def test_without_a_switch_the_prompt_stays_as_it_is() -> None:
    request = BudgetRequest.from_body({CAP: 0})
    for markers in (FAMILIES["s1"], None):
        assert ThinkingPolicy(markers).template_variables(request) == {}


@pytest.mark.parametrize(
    ("body", "defaults", "set_by"),
    [
        ({CAP: 0}, {}, "request"),
        ({EFFORT: "none"}, {}, EFFORT),
        ({"think": False}, {}, "think"),
        ({}, {CAP: 0}, "default"),
        ({"chat_template_kwargs": SWITCH}, {}, "chat_template_kwargs.enable_thinking"),
    ],
    ids=str,
)
def test_the_cap_stays_in_force_after_a_prompt_that_has_closed_the_thinking(
    thinker: Any, body: dict[str, Any], defaults: dict[str, Any], set_by: str
) -> None:
    """So the report gives it, and the reply does not open thinking again."""
    policy = ThinkingPolicy(MARKERS, Defaults(budget=defaults))
    generation = Generation(thinker.encode(CLOSED), SamplingParams(max_tokens=20), context=99)
    found = policy.resolve(BudgetRequest.from_body(body), generation, thinker)
    assert found is not None
    assert (found.budget, found.set_by) == (ThinkingBudget(max_thinking_tokens=0), {CAP: set_by})
    automaton = found.start()
    assert (automaton.phase, automaton.ended_by) == (Phase.ANSWER, "none")
    assert automaton.action() == Redirect(tuple(thinker.encode("<think>")), None)


@pytest.mark.parametrize("field", ["min_thinking_tokens", "num_waits"])
@pytest.mark.parametrize("off", [{CAP: 0}, {"chat_template_kwargs": SWITCH}], ids=str)
def test_a_floor_and_waits_contradict_it_whatever_the_prompt_says(
    thinker: Any, off: dict[str, Any], field: str
) -> None:
    policy = ThinkingPolicy(MARKERS)
    for prompt in (CLOSED, "<|im_start|>assistant\n"):
        generation = Generation(thinker.encode(prompt), SamplingParams(max_tokens=20), context=99)
        with pytest.raises(InvalidBudget) as refusal:
            policy.resolve(BudgetRequest.from_body({**off, field: 3}), generation, thinker)
        assert refusal.value.field == field
