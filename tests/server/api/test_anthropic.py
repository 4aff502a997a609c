"""A message becomes our chat request, and a failed chat becomes an error of the message."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from vllm.entrypoints.anthropic.protocol import AnthropicMessagesRequest

from tenuto_server.api.anthropic import CountTokensRequest, MessagesRequest, ThinkingMessages, add_report_to_events
from tenuto_server.api.protocol import ChatCompletionRequest
from tenuto_server.api.thinking_reports import CountedReplies
from tenuto_server.budgets.request_fields import BUDGET_REQUEST
from tenuto_server.context import CurrentRequest, using_request

BODY: dict[str, Any] = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "x"}]}


def extra_args(**more: Any) -> dict[str, Any]:
    """What a message with these fields passes to the engine."""
    chat = ThinkingMessages.to_chat_completion_request(MessagesRequest(**BODY, **more))
    assert isinstance(chat, ChatCompletionRequest)
    params = chat.to_sampling_params(50, {})
    assert params.thinking_token_budget is None
    return dict(params.extra_args or {})


@pytest.mark.parametrize(
    ("fields", "chat_fields"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 7}}, {"thinking": {"type": "enabled", "budget_tokens": 7}}),
        ({"thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}}),
        ({"num_waits": 2, "wait_text": "Hm"}, {"num_waits": 2, "wait_text": "Hm"}),
        ({"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"nvext": {"max_thinking_tokens": 4}}, {"max_thinking_tokens": 4}),
        ({"vllm_xargs": {"else": 1}, "min_thinking_tokens": 3}, {"vllm_xargs": {"else": 1}, "min_thinking_tokens": 3}),
    ],
    ids=str,
)
def test_a_message_passes_to_the_engine_what_chat_passes(fields: dict[str, Any], chat_fields: dict[str, Any]) -> None:
    chat = ChatCompletionRequest(model="m", messages=BODY["messages"], **chat_fields).to_sampling_params(50, {})
    ours, theirs = extra_args(**fields), dict(chat.extra_args or {})
    mine, others = ours.pop(BUDGET_REQUEST), theirs.pop(BUDGET_REQUEST)
    assert replace(mine, cap_name=others.cap_name) == others  # the name is the one that the client used
    assert ours == theirs


def test_other_fields_of_the_chat_request_are_vllms() -> None:
    tool = {"name": "add", "input_schema": {"type": "object"}}
    rest: dict[str, Any] = {"system": "s", "stop_sequences": ["a"], "top_k": 3, "tools": [tool], "stream": True}
    ours = ThinkingMessages.to_chat_completion_request(MessagesRequest(**BODY, **rest))
    theirs = ThinkingMessages.to_chat_completion_request(AnthropicMessagesRequest(**BODY, **rest))
    names = theirs.model_fields_set - {"reasoning_effort"}
    assert {name: value for name, value in ours if name in names} == {
        name: value for name, value in theirs if name in names
    }


def test_the_chat_template_learns_that_thinking_is_disabled() -> None:
    request = MessagesRequest.model_validate({**BODY, "thinking": {"type": "disabled"}})
    assert ThinkingMessages.to_chat_completion_request(request).reasoning_effort == "none"


def test_tokens_are_counted_with_any_valid_budget() -> None:
    body = {name: value for name, value in BODY.items() if name != "max_tokens"}
    right, wrong = {"type": "enabled", "budget_tokens": 5}, {"type": "sometimes"}
    assert CountTokensRequest.model_validate({**body, "thinking": right}).thinking is not None
    with pytest.raises(ValidationError):
        CountTokensRequest.model_validate({**body, "thinking": wrong})


async def test_a_chat_that_fails_ends_the_message_with_an_error_event() -> None:
    """vLLM 0.32 puts the error into the chat's stream, where its conversion takes it for a broken chunk."""
    serving = ThinkingMessages.__new__(ThinkingMessages)

    async def chunks() -> AsyncGenerator[str, None]:
        yield f"data: {serving.create_streaming_error_response(RuntimeError('the engine has died'))}\n\n"
        yield "data: [DONE]\n\n"

    request = CurrentRequest()
    with using_request(request):
        stream = add_report_to_events(serving.message_stream_converter(chunks()), CountedReplies())
        events = [event async for event in stream]
    assert request.stream_failed
    assert len(events) == 1
    kind, data = events[0].strip().split("\n")
    assert kind == "event: error"
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "error",
        "error": {"type": "api_error", "message": "the engine has died"},
    }
