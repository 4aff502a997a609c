"""Budget fields from the body of a request to the sampling parameters."""

from typing import Any

import pytest
from pydantic import ValidationError

from tenuto_server.api.openai_responses import ResponsesRequest
from tenuto_server.api.protocol import (
    BatchChatCompletionRequest,
    BudgetFields,
    ChatCompletionRequest,
    CompletionRequest,
)
from tenuto_server.budgets.request_fields import BUDGET_REQUEST, CAP, BudgetRequest

MESSAGES = [{"role": "user", "content": "x"}]


def request(**fields: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest(messages=MESSAGES, **fields)


BODIES: dict[type[BudgetFields], dict[str, Any]] = {
    ChatCompletionRequest: {"messages": MESSAGES},
    CompletionRequest: {"prompt": "x"},
    ResponsesRequest: {"input": "x"},
}


@pytest.mark.parametrize(("kind", "body"), BODIES.items())
def test_given_fields_reach_the_engine_alongside_other_arguments(
    kind: type[BudgetFields], body: dict[str, Any]
) -> None:
    given = {"max_thinking_tokens": 9, "wait_text": ["a", "b"], "scope": "block"}
    params = kind(**body, **given, vllm_xargs={"else": 1}).to_sampling_params(10, {})
    assert params.extra_args == {BUDGET_REQUEST: BudgetRequest(given, source=kind._prompt_source), "else": 1}


@pytest.mark.parametrize(("kind", "body"), list(BODIES.items())[:2])
def test_beam_search_takes_no_budget(kind: type[BudgetFields], body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="beam search"):
        kind(**body, use_beam_search=True, num_waits=1)


def test_zero_is_given_and_null_is_not() -> None:
    assert request(max_thinking_tokens=0, num_waits=None).budget_request.fields == {"max_thinking_tokens": 0}


def test_a_client_cannot_put_anything_in_place_of_the_parsed_request() -> None:
    params = request(vllm_xargs={BUDGET_REQUEST: "x"}).to_sampling_params(10, {})
    assert params.extra_args == {BUDGET_REQUEST: BudgetRequest()}


def test_fields_of_vllms_own_are_not_taken_for_misspelt_ones() -> None:
    """Any field of vLLM's own request may be sent, even if its name resembles one of ours."""
    BudgetRequest.from_body(dict.fromkeys(ChatCompletionRequest.model_fields))


def test_vllms_own_cap_becomes_ours_and_never_reaches_vllm() -> None:
    chat = request(thinking_token_budget=5)
    params = chat.to_sampling_params(10, {})
    assert (chat.thinking_token_budget, params.thinking_token_budget) == (None, None)
    assert BudgetRequest.from_extra_args(params.extra_args) == BudgetRequest({CAP: 5}, "thinking_token_budget")


def test_the_client_decides_whether_special_tokens_are_kept_whatever_the_parser_needs() -> None:
    chat = request()
    chat.skip_special_tokens = False  # as our reasoning parser does for markers that are special tokens
    assert not chat.keeps_special_tokens
    assert request(skip_special_tokens=False).keeps_special_tokens


@pytest.mark.parametrize(
    "field",
    [
        {"max_thinking_tokens": 5},
        {"reasoning_effort": "low"},
        {"answer_reserve_tokens": 5},
        {"vllm_xargs": {"num_waits": 1}},
        {"enable_thinking": False},
    ],
    ids=str,
)
def test_beam_search_takes_no_field_of_a_budget(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="beam search"):
        request(use_beam_search=True, n=2, **field)


def test_a_batch_passes_known_fields_only_to_its_conversations() -> None:
    """Unknown fields would be read again for each conversation."""
    unknown = {f"unknown {number}": number for number in range(200)}
    batch = BatchChatCompletionRequest(messages=[MESSAGES, MESSAGES], thinking_budget=5, **unknown)
    single = batch.to_chat_completion_request(MESSAGES)
    assert single.budget_request == BudgetRequest({CAP: 5}, "thinking_budget")
    assert unknown.keys().isdisjoint(single.model_extra or {})
