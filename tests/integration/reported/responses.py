"""Requests to `/v1/responses` whose reply differs from what was asked or from what it says."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from tenuto_testing.reported_case import Case

PATH = "/v1/responses"
BILL = {"role": "user", "content": "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"}
#: The beginning of the thinking about that bill, cut between two tokens.
BEGUN = "\nFirst comes soup: 0 + 9 = 9\nAfter soup comes fish: 9 + 4 ="
LOGPROBS: dict[str, Any] = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
TOOL = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
}
NAMED = {"type": "function", "name": "add"}
#: Thinking that leaves room for a call.
SHORT: dict[str, Any] = {"max_thinking_tokens": 20}
CALL = {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"}

IMAGE = {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,xx"}
SEARCH = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "x"}}


def part(content: Mapping[str, Any]) -> dict[str, Any]:
    """A message of the user with one part."""
    return {"role": "user", "content": [content]}


def thought(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}], **fields}


def message(*texts: str, **fields: Any) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "role": "assistant", "content": parts, **fields}


def said(*texts: str) -> Callable[[Any], None]:
    """Checks that all texts are in the prompt."""

    def check(response: Any) -> None:
        prompt = "".join(part["message"] for part in response["input_messages"])
        assert all(text in prompt for text in texts), prompt

    return check


def cut(*statuses: str) -> Callable[[Any], None]:
    """Checks the items of a response that was cut."""

    def check(response: Any) -> None:
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert [item["status"] for item in response["output"]] == list(statuses)
        assert response["usage"]["output_tokens"] == response["max_output_tokens"]
        assert response["thinking"][0]["tokens"] == response["usage"]["output_tokens_details"]["reasoning_tokens"]

    return check


def goes_on(response: Any) -> None:
    """The thinking goes on from `BEGUN`, and only what is new is in the response and counted."""
    thinking, answer = response["output"]
    assert thinking["content"][0]["text"].startswith(" 13\nAfter fish comes juice")
    assert answer["content"][0]["text"].startswith("\n")
    [report] = response["thinking"]
    assert 0 < report["tokens"] == response["usage"]["output_tokens_details"]["reasoning_tokens"] < 40


def answers_at_once(response: Any) -> None:
    assert [item["type"] for item in response["output"]] == ["message"]
    assert response["thinking"][0]["tokens"] == 0


def has_logprobs_of_its_text(response: Any) -> None:
    part = response["output"][-1]["content"][0]
    assert "".join(logprob["token"] for logprob in part["logprobs"]) == part["text"] != ""
    assert all(len(logprob["top_logprobs"]) == 2 for logprob in part["logprobs"])


def is_not_stored(response: Any) -> None:
    assert response["store"] is False


def calls_with_objects(response: Any) -> None:
    """A call that is complete has an object as its arguments."""
    calls = [item for item in response["output"] if item["type"] == "function_call"]
    assert calls
    for call in calls:
        assert call["arguments"].startswith("{")
        assert call["status"] == "incomplete" or isinstance(json.loads(call["arguments"]), dict)


def refused(name: str, param: str, part: str, **body: Any) -> Case:
    return Case(name=name, path=PATH, body={"input": [BILL], **body}, status=400, param=param, message=part)


def exact(name: str, check: Callable[[Any], None] | None = None, **body: Any) -> Case:
    return Case(name=name, path=PATH, body={"input": [BILL], "temperature": 0, **body}, check=check)


def with_tools(name: str, check: Callable[[Any], None] | None = None, **body: Any) -> Case:
    """Sampled from a seed: the model is a random one, which at temperature 0 always writes the same."""
    fields: Mapping[str, Any] = {"temperature": 2, "tools": [TOOL], "max_output_tokens": 120, **body}
    return Case(name=name, path=PATH, body={"input": [BILL], **fields}, server="thinker", check=check)


CASES: list[Case] = [
    # Input that was lost
    exact("thinking that was cut goes on", goes_on, input=[BILL, thought(BEGUN, status="incomplete")]),
    exact("thinking without a status goes on", goes_on, input=[BILL, thought(BEGUN)]),
    exact(
        "thinking of several parts goes on",
        goes_on,
        input=[
            BILL,
            {**thought("x"), "content": [{"type": "reasoning_text", "text": t} for t in BEGUN.split("\n", 1)]},
        ],
    ),
    exact(
        "thinking that is complete is followed by the answer",
        answers_at_once,
        input=[BILL, thought(f"{BEGUN} 13\n", status="completed")],
    ),
    exact(
        "a message that was cut goes on",
        answers_at_once,
        input=[BILL, thought(f"{BEGUN} 13\n"), message("\nFinal", status="incomplete")],
    ),
    exact(
        "a message that was cut goes on under a budget",
        answers_at_once,
        input=[BILL, message("\nFinal", status="in_progress")],
        max_thinking_tokens=20,
    ),
    refused(
        "a call that was cut cannot go on",
        "input",
        "cannot go on",
        input=[BILL, {**CALL, "status": "incomplete"}],
    ),
    exact(
        "both parts of an assistant's message are in the prompt",
        said("ab\ncd"),
        input=[BILL, message("ab", "cd"), BILL],
        enable_response_messages=True,
        max_output_tokens=9,
    ),
    exact(
        "a refusal of the assistant is in the prompt",
        said("ab\nno"),
        input=[
            BILL,
            message("ab") | {"content": [*message("ab")["content"], {"type": "refusal", "refusal": "no"}]},
            BILL,
        ],
        enable_response_messages=True,
        max_output_tokens=9,
    ),
    exact(
        "all parts of a message and of a tool's output are in the prompt",
        said("ab\ncd", "ef\ngh"),
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": text} for text in ("ab", "cd")]},
            CALL,
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [{"type": "input_text", "text": text} for text in ("ef", "gh")],
            },
        ],
        enable_response_messages=True,
        max_output_tokens=9,
    ),
    exact(
        "a message of the assistant without content is an empty turn",
        said("<|im_start|>assistant\n<|im_end|>"),
        input=[{"type": "message", "role": "assistant", "content": []}, BILL],
        enable_response_messages=True,
        max_output_tokens=9,
    ),
    # Input that cannot be put into a prompt
    refused("an empty input", "input", "empty conversation", input=[]),
    refused("thinking without a question", "input", "empty conversation", input=[thought(BEGUN)]),
    refused("an image for a model that takes none", "input", "not a multimodal model", input=[part(IMAGE)]),
    refused("a file", "input", "input_file", input=[part({"type": "input_file", "file_data": "x"})]),
    refused(
        "a tool's output with an image",
        "input",
        "",
        input=[BILL, CALL, {"type": "function_call_output", "call_id": "c", "output": [IMAGE]}],
    ),
    refused("an item of a built-in tool", "input", "web_search_call", input=[BILL, SEARCH]),
    refused("a text that is too long", "input", "maximum context length", input="word " * 6000),
    # What would have to be stored, and what would be ignored
    refused("a conversation is not stored", "conversation", "send the items", conversation="conv_123"),
    refused("a conversation object is not stored", "conversation", "send the items", conversation={"id": "conv_123"}),
    refused("a previous response is not stored", "previous_response_id", "send the items", previous_response_id="r"),
    refused("an item is not stored", "input", "send the item", input=[BILL, {"type": "item_reference", "id": "msg_1"}]),
    refused("a prompt template is not stored", "prompt", "not supported", prompt={"id": "pmpt_1"}),
    refused("results of a search cannot be included", "include", "not supported", include=["file_search_call.results"]),
    refused("top logprobs alone would be ignored", "top_logprobs", "include", top_logprobs=2),
    refused(
        "a message cannot go on under a format",
        "input",
        "structured output",
        input=[BILL, message("{", status="incomplete")],
        text={"format": {"type": "json_object"}},
    ),
    exact("store is accepted and the response says what is true", is_not_stored, store=True, max_output_tokens=9),
    exact("encrypted reasoning is accepted", include=["reasoning.encrypted_content"], max_output_tokens=9),
    # A reply that was cut
    exact(
        "a reply that was cut while thinking says so",
        cut("incomplete"),
        max_output_tokens=20,
        max_thinking_tokens="unlimited",
    ),
    exact(
        "a reply that was cut in its answer says so",
        cut("completed", "incomplete"),
        max_output_tokens=15,
        max_thinking_tokens=4,
    ),
    exact("a reply without a limit is complete", max_thinking_tokens=12),
    # Logprobs
    exact("logprobs are those of the answer", has_logprobs_of_its_text, max_thinking_tokens=12, **LOGPROBS),
    exact("logprobs are those of an answer alone", has_logprobs_of_its_text, max_thinking_tokens=0, **LOGPROBS),
    exact(
        "logprobs are those of the text before a stop string",
        has_logprobs_of_its_text,
        max_thinking_tokens=12,
        stop=["Answer"],
        **LOGPROBS,
    ),
    # A conversation that is too long
    exact(
        "the oldest exchanges are dropped",
        lambda response: _assert_input_tokens(response, 32),
        input=[
            {"role": "user", "content": "word " * 1500},
            message("x"),
            {"role": "user", "content": "word " * 1500},
            message("x"),
            BILL,
        ],
        truncation="auto",
        max_output_tokens=200,
    ),
    refused("a text that is too long is not cut", "truncation", "1033 tokens", input="word " * 3000, truncation="auto"),
    refused(
        "a last message that is too long is not cut",
        "truncation",
        "leave the 500 tokens",
        input=[BILL, message("x"), {"role": "user", "content": "word " * 3000}],
        truncation="auto",
        max_output_tokens=500,
    ),
    # Tools
    *(with_tools(f"a model with tools, seed {seed}", tool_choice="auto", seed=seed) for seed in range(4)),
    *(
        with_tools(f"a forced call, seed {seed}", calls_with_objects, tool_choice="required", seed=seed, **SHORT)
        for seed in range(4)
    ),
    *(
        with_tools(f"a call that is cut at {limit} tokens", tool_choice="required", seed=1, max_output_tokens=limit)
        for limit in (20, 60)
    ),
    with_tools("a call that is forced by its name", calls_with_objects, tool_choice=NAMED, seed=1, **SHORT),
    with_tools("a call without thinking", calls_with_objects, tool_choice="required", seed=2, max_thinking_tokens=0),
    with_tools("several tools with logprobs", tool_choice="auto", seed=4, **LOGPROBS),
    Case(
        name="thinking goes on in a model with tools",
        path=PATH,
        body={
            "input": [BILL, thought("\nab", status="incomplete")],
            "temperature": 0,
            "max_thinking_tokens": 20,
            "max_output_tokens": 60,
        },
        server="thinker",
        check=lambda response: _assert_kinds(response, "reasoning"),
    ),
]


def _assert_input_tokens(response: Any, tokens: int) -> None:
    assert response["usage"]["input_tokens"] == tokens


def _assert_kinds(response: Any, first: str) -> None:
    assert response["output"][0]["type"] == first
