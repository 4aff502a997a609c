"""A message becomes our chat request, and a failed chat becomes an error of the message."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from pydantic import ValidationError
from pydantic_core import from_json
from vllm.entrypoints.anthropic.protocol import AnthropicMessagesRequest
from vllm.entrypoints.anthropic.serving import AnthropicServingMessages
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionResponse

from tenuto_server.api.anthropic import (
    CountTokensRequest,
    MessagesRequest,
    ThinkingMessages,
    add_report_to_events,
    add_report_to_message,
)
from tenuto_server.api.protocol import ChatCompletionRequest
from tenuto_server.api.thinking_reports import CountedReplies
from tenuto_server.budgets.request_fields import BUDGET_REQUEST
from tenuto_server.context import CurrentRequest, using_request
from tenuto_server.errors import InvalidRequest

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
    theirs = AnthropicServingMessages.to_chat_completion_request(AnthropicMessagesRequest(**BODY, **rest))
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


def chat_reply(
    calls: list[tuple[str, str]], finish_reason: str = "tool_calls", **fields: Any
) -> ChatCompletionResponse:
    tool_calls = [
        {"id": f"call{n}", "function": {"name": name, "arguments": text}} for n, (name, text) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": tool_calls}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, **fields}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    return ChatCompletionResponse.model_validate({"id": "msg_1", "model": "m", "choices": [choice], "usage": usage})


async def as_stream(reply: ChatCompletionResponse) -> list[dict[str, Any]]:
    """The events of a message whose chat is streamed, three characters of arguments in a chunk."""
    (choice,) = reply.choices
    head = {"id": "msg_1", "model": "m"}

    async def chunks() -> AsyncGenerator[str, None]:
        def chunk(delta: dict[str, Any] | None, **fields: Any) -> str:
            choices = [] if delta is None else [{"index": 0, "delta": delta, **fields}]
            usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
            return f"data: {json.dumps({**head, 'choices': choices, 'usage': usage})}\n\n"

        yield chunk({"role": "assistant"})
        for number, call in enumerate(choice.message.tool_calls):
            function: dict[str, Any] = {"name": call.function.name}
            yield chunk({"tool_calls": [{"index": number, "id": call.id, "type": "function", "function": function}]})
            for start in range(0, len(call.function.arguments), 3):
                function = {"arguments": call.function.arguments[start : start + 3]}
                yield chunk({"tool_calls": [{"index": number, "function": function}]})
        yield chunk({}, finish_reason=choice.finish_reason, stop_reason=choice.stop_reason)
        yield chunk(None)
        yield "data: [DONE]\n\n"

    serving = ThinkingMessages.__new__(ThinkingMessages)
    stream = add_report_to_events(serving.message_stream_converter(chunks()), CountedReplies())
    return [from_json(event.split("data: ")[1]) async for event in stream]


@pytest.mark.parametrize(
    ("calls", "fields", "inputs", "stop_reason"),
    [
        ([("add", '{"a": 1}')], {}, [{"a": 1}], "tool_use"),
        ([("add", '{"a": 1}'), ("add", "{}")], {}, [{"a": 1}, {}], "tool_use"),
        ([("add", '{"a": 1, "b": "cut')], {"finish_reason": "length"}, [{"a": 1}], "max_tokens"),
        ([("add", "")], {"finish_reason": "length"}, [{}], "max_tokens"),
        ([("add", '{"a": 1}'), ("add", '{"a": 2, ')], {"stop_reason": "x"}, [{"a": 1}, {"a": 2}], "stop_sequence"),
        ([("add", '{"a": 1}')], {"stop_reason": "x"}, [{"a": 1}], "tool_use"),
        *(([("add", text)], {}, [{}], "tool_use") for text in ("[1]", '"text"', "3", "null", " [{}]")),
        ([("add", '{"a": 1, bad}')], {}, [{"a": 1}], "tool_use"),
        ([("add", '{"a": 1e999}')], {}, [{"a": 1.7976931348623157e308}], "tool_use"),
        ([], {"finish_reason": "stop"}, [], "end_turn"),
    ],
    ids=str,
)
async def test_whole_and_streamed_messages_have_the_same_tool_calls(
    calls: list[tuple[str, str]], fields: dict[str, Any], inputs: list[dict[str, Any]], stop_reason: str
) -> None:
    """Whatever the model has written, the input is an object, and no message fails for it."""
    serving = ThinkingMessages.__new__(ThinkingMessages)
    whole = serving.messages_full_converter(chat_reply(calls, **fields))
    json.dumps(add_report_to_message(whole, CountedReplies()), allow_nan=False)
    assert [block.input for block in whole.content if block.type == "tool_use"] == inputs
    assert whole.stop_reason == stop_reason

    events = await as_stream(chat_reply(calls, **fields))
    blocks, snapshot = dict[int, bytes](), None
    for event in events:  # as Anthropic's SDK does
        snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=blocks)  # type: ignore[arg-type]
    assert snapshot is not None
    assert [block.type for block in snapshot.content] == [block.type for block in whole.content]
    if "999" not in str(calls):  # the SDK reads infinity
        assert [block.input for block in snapshot.content if block.type == "tool_use"] == inputs
    last = next(event for event in events if event["type"] == "message_delta")
    assert (last["delta"]["stop_reason"], last["delta"]["stop_sequence"]) == (stop_reason, whole.stop_sequence)


@pytest.mark.parametrize("tools", [{}, {"tools": []}, {"tools": None}], ids=str)
@pytest.mark.parametrize("choice", [None, "auto", "none", "any", "tool"])
def test_a_message_without_tools_calls_none(tools: dict[str, Any], choice: str | None) -> None:
    named = {"name": "add"} if choice == "tool" else {}
    fields: dict[str, Any] = {} if choice is None else {"tool_choice": {"type": choice, **named}}
    request = MessagesRequest(**BODY, **tools, **fields)
    if choice in ("any", "tool"):
        with pytest.raises(InvalidRequest, match=r"^tools: .* there are no tools") as wrong:
            ThinkingMessages.to_chat_completion_request(request)
        assert wrong.value.param == "tools"
    else:
        chat = ThinkingMessages.to_chat_completion_request(request)
        assert (chat.tools, chat.tool_choice) == (None, "none")


def test_a_tool_that_a_message_chooses_has_to_be_there() -> None:
    tools = [{"name": "add", "input_schema": {}}]
    chosen: dict[str, Any] = {"tool_choice": {"type": "tool", "name": "add"}}
    assert ThinkingMessages.to_chat_completion_request(MessagesRequest(**BODY, tools=tools, **chosen)).tools
    chosen["tool_choice"]["name"] = "ad"
    with pytest.raises(InvalidRequest, match=r"^tool_choice: there is no tool .ad."):
        ThinkingMessages.to_chat_completion_request(MessagesRequest(**BODY, tools=tools, **chosen))
