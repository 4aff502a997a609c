"""Anthropic's Messages with Anthropic's SDK: equal to chat completions, whose tokens are counted independently."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic as sdk
import httpx
import pytest
from anthropic import Anthropic
from openai import OpenAI

from tenuto_testing.reply_counter import ReplyCounter
from tenuto_testing.reported_case import assemble, essence
from tenuto_testing.servers import MODEL, RunningServer
from tenuto_testing.thinker_model import NAME

#: (fields of a message, the same for chat completions, the field that set the cap)
BUDGETS: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({}, {}, "default"),
    ({"thinking": {"type": "enabled", "budget_tokens": 12}}, {"max_thinking_tokens": 12}, "thinking.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 500}}, {"max_thinking_tokens": 500}, "thinking.budget_tokens"),
    ({"thinking": {"type": "disabled"}}, {"max_thinking_tokens": 0}, "thinking.type"),
    ({"thinking": {"type": "adaptive"}}, {}, "default"),
    ({"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}, "reasoning_effort"),
    ({"max_thinking_tokens": 12}, {"max_thinking_tokens": 12}, "request"),
    ({"num_waits": 2, "wait_text": ["Hmm", "Wait"]}, {"num_waits": 2, "wait_text": ["Hmm", "Wait"]}, "default"),
    (
        {"thinking": {"type": "enabled", "budget_tokens": 60}, "min_thinking_tokens": 60},
        {"max_thinking_tokens": 60, "min_thinking_tokens": 60},
        "thinking.budget_tokens",
    ),
]


def ask(question: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 800, "messages": [{"role": "user", "content": question}], **more}


@pytest.mark.parametrize(("fields", "in_chat", "set_by"), BUDGETS, ids=str)
def test_a_message_equals_chat_and_its_figures_equal_a_recount(
    anthropic: Anthropic,
    client: OpenAI,
    counter: ReplyCounter,
    questions: list[str],
    fields: dict[str, Any],
    in_chat: dict[str, Any],
    set_by: str | None,
) -> None:
    message = anthropic.messages.create(**ask(questions[0]), extra_body={**fields, "temperature": 0})
    chat = client.chat.completions.create(
        **ask(questions[0], temperature=0), extra_body={**in_chat, "return_token_ids": True}
    )
    choice, report = chat.choices[0], message.thinking_report
    assert {**report, "set_by": None} == {**choice.thinking, "set_by": None}
    assert report["set_by"].get("max_thinking_tokens") == set_by
    cap = report["max_thinking_tokens"]
    assert report["tokens"] == counter.count(choice.token_ids, cap) <= (1000 if cap is None else cap)
    assert message.usage.output_tokens == len(choice.token_ids)
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens == report["tokens"]
    assert "".join(block.thinking for block in message.content if block.type == "thinking") == (
        choice.message.reasoning or ""
    )
    assert "".join(block.text for block in message.content if block.type == "text") == choice.message.content


@pytest.mark.parametrize("fields", [BUDGETS[0][0], BUDGETS[1][0], BUDGETS[3][0], BUDGETS[7][0]], ids=str)
def test_a_stream_equals_the_whole_message(anthropic: Anthropic, questions: list[str], fields: dict[str, Any]) -> None:
    whole = anthropic.messages.create(**ask(questions[1]), extra_body={**fields, "temperature": 0})
    with anthropic.messages.stream(**ask(questions[1]), extra_body={**fields, "temperature": 0}) as stream:
        events = list(stream)
        final = stream.get_final_message()
    said = [(block.type, getattr(block, block.type)) for block in final.content]
    assert said == [(block.type, getattr(block, block.type)) for block in whole.content]
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.output_tokens_details == whole.usage.output_tokens_details
    assert final.stop_reason == whole.stop_reason
    reported: list[Any] = [event.to_dict()["thinking_report"] for event in events if event.type == "message_delta"]
    assert reported == [whole.thinking_report]
    # The SDK's final message has nothing else of a `message_delta`.
    assert not hasattr(final, "thinking_report")
    assert final.usage.output_tokens_details is not None
    assert final.usage.output_tokens_details.to_dict()["thinking_report"] == whole.thinking_report
    pieces = [event for event in events if event.type == "content_block_delta" and event.delta.type == "thinking_delta"]
    assert bool(pieces) == (reported[0]["tokens"] > 0)  # a busy machine sends several tokens in one chunk


def test_the_tokens_of_a_prompt_are_those_of_its_reply(anthropic: Anthropic, questions: list[str]) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 12}
    request = ask(questions[0], thinking=thinking)
    message = anthropic.messages.create(**request)
    del request["max_tokens"]
    assert anthropic.messages.count_tokens(**request).input_tokens == message.usage.input_tokens


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": -3}}, "thinking.budget_tokens: -3"),
        ({"thinking": {"type": "enabled", "budget_tokens": "5"}}, "thinking.budget_tokens: '5' is not a whole number"),
        ({"thinking": {"type": "enabled", "budget_tokens": 800}}, "more than max_tokens, which is 800"),
        ({"thinking": {"type": "sometimes"}}, "thinking: thinking.type: 'sometimes'"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}, "max_thinking_tokens": 6}, "which is 6"),
        ({"thinking": {"type": "enabled", "budget_token": 5}}, "thinking.budget_token: is not a field"),
        ({"output_config": {"effort": "low"}, "reasoning_effort": "high"}, "output_config.effort: 'low' differs"),
        ({"max_tokens": 0}, "max_tokens must be positive"),
    ],
    ids=str,
)
def test_an_invalid_request_is_a_400_in_anthropics_format_before_anything_is_generated(
    server: RunningServer, anthropic: Anthropic, questions: list[str], fields: dict[str, Any], words: str, stream: bool
) -> None:
    before = server.gauge("vllm:generation_tokens_total")
    with pytest.raises(sdk.BadRequestError) as wrong:
        anthropic.messages.create(**ask(questions[0]), stream=stream, extra_body=fields)
    body = wrong.value.response.json()
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
    assert words in body["error"]["message"]
    assert server.gauge("vllm:generation_tokens_total") == before


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_other_errors_have_anthropics_format_too(server: RunningServer, path: str) -> None:
    def kinds(response: httpx.Response) -> tuple[int, str]:
        assert response.json().keys() == {"type", "error"}
        return response.status_code, response.json()["error"]["type"]

    unknown = {"model": "unknown", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    assert kinds(server.post(path, **unknown)) == (404, "not_found_error")
    wrong_method = httpx.put(server.url + path)
    assert kinds(wrong_method) == (405, "invalid_request_error")
    assert wrong_method.headers["allow"] == "POST"
    assert kinds(httpx.post(server.url + path, content=b"{")) == (400, "invalid_request_error")
    json_type = {"Content-Type": "application/json"}
    assert kinds(httpx.post(server.url + path, content=b"{", headers=json_type)) == (400, "invalid_request_error")


def test_no_random_tool_call_makes_a_message_fail(thinker: RunningServer) -> None:
    """Whole and streamed, wherever the limit cuts it. Its input is an object, for the SDK too."""
    tool = {"name": "add", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
    choices: list[dict[str, Any]] = [{"type": "any"}, {"type": "tool", "name": "add"}, {"type": "auto"}]
    request: dict[str, Any] = {"model": NAME, "messages": [{"role": "user", "content": "x"}], "tools": [tool]}
    drawn = {"thinking": {"type": "disabled"}, "temperature": 2}

    def ask_both(number: int) -> list[sdk.types.Message]:
        body = {**request, "tool_choice": choices[number % 3], "max_tokens": 20 + 15 * (number % 13)}
        whole = client.messages.create(**body, extra_body=drawn)
        with client.messages.stream(**body, extra_body=drawn) as stream:
            return [whole, stream.get_final_message()]

    with Anthropic(base_url=thinker.url, api_key="none", max_retries=0) as client, ThreadPoolExecutor(8) as threads:
        messages = [message for pair in threads.map(ask_both, range(39)) for message in pair]
    calls = [block for message in messages for block in message.content if block.type == "tool_use"]
    assert len(calls) >= 40
    assert all(isinstance(call.input, dict) for call in calls)
    assert {message.stop_reason for message in messages} >= {"tool_use", "max_tokens"}


def test_seeded_tool_calls_are_the_same_whole_and_streamed(thinker: RunningServer) -> None:
    """In chat, where a seed repeats a reply."""
    function = {"name": "add", "parameters": {"type": "object"}}
    request = {
        "model": NAME,
        "messages": [{"role": "user", "content": "x"}],
        "max_thinking_tokens": 0,
        "temperature": 2,
    }
    for seed in range(20):
        choice = {"tool_choice": "required" if seed % 2 else "auto", "max_tokens": 20 + 10 * (seed % 12)}
        body = {**request, **choice, "tools": [{"type": "function", "function": function}], "seed": seed}
        response = thinker.chat(**body)
        assert response.status_code == 200, response.text
        stream = thinker.chat(**body, stream=True, stream_options={"include_usage": True})
        whole, assembled = response.json(), assemble("/v1/chat/completions", stream.text)
        assert essence("/v1/chat/completions", assembled) == essence("/v1/chat/completions", whole)
        for call in whole["choices"][0]["message"].get("tool_calls") or ():
            assert seed % 2 == 0 or call["function"]["arguments"].lstrip()[:1] in ("", "{")
