"""Messages, tool calls, stop strings and completions whose reply differs from what was asked."""

import json
from collections.abc import Callable
from typing import Any

from tenuto_testing.reported_case import Case
from tenuto_testing.thinker_model import NAME

BILL = {"role": "user", "content": "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"}
CHAT, MESSAGES, RESPONSES, COMPLETIONS = "/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/completions"


def asking(path: str, *, tokens: int = 60, **fields: Any) -> dict[str, Any]:
    """A body for the endpoint that asks for the total of the bill, at temperature 0."""
    limit = "max_output_tokens" if path == RESPONSES else "max_tokens"
    return {"input" if path == RESPONSES else "messages": [BILL], limit: tokens, "temperature": 0, **fields}


SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
TOOLS: dict[str, list[dict[str, Any]]] = {
    CHAT: [{"type": "function", "function": {"name": "add", "parameters": SCHEMA}}],
    MESSAGES: [{"name": "add", "input_schema": SCHEMA}],
    RESPONSES: [{"type": "function", "name": "add", "parameters": SCHEMA}],
}
FORCED: dict[str, list[Any]] = {
    CHAT: ["required", {"type": "function", "function": {"name": "add"}}],
    MESSAGES: [{"type": "any"}, {"type": "tool", "name": "add"}],
    RESPONSES: ["required", {"type": "function", "name": "add"}],
}


def calls_of(reply: Any) -> list[Any]:
    """The arguments of the tool calls of a reply, in the form of its endpoint."""
    if "choices" in reply:
        return [call["function"]["arguments"] for call in reply["choices"][0]["message"].get("tool_calls") or ()]
    if "output" in reply:
        return [item["arguments"] for item in reply["output"] if item["type"] == "function_call"]
    return [block["input"] for block in reply["content"] if block["type"] == "tool_use"]


def check_arguments(reply: Any) -> None:
    """The arguments of a complete call are an object, those of the last one may be cut off."""
    *before, last = calls_of(reply) or [{}]
    for arguments in before:
        assert isinstance(json.loads(arguments) if isinstance(arguments, str) else arguments, dict)
    assert isinstance(last, dict) or last.lstrip().startswith("{") or not last


FORCED_CALLS = [
    Case(
        name=f"the arguments of a forced tool call are an object ({path}, {choice}, {tokens} tokens)",
        path=path,
        body=asking(path, tokens=tokens, model=NAME, max_thinking_tokens=0, tools=TOOLS[path], tool_choice=choice),
        check=check_arguments,
        server="thinker",
    )
    for path, choices in FORCED.items()
    for choice in choices
    for tokens in (15, 40, 55, 200)
]

NO_TOOLS: tuple[dict[str, Any], ...] = ({"tools": []}, {"tools": None})
WITHOUT_TOOLS = [
    Case(name=f"no tools are no tools ({path}, {fields})", path=path, body=asking(path, **fields))
    for path, free in (
        (CHAT, ("auto", "none")),
        (MESSAGES, ({"type": "auto"}, {"type": "none"})),
        (RESPONSES, ("auto",)),
    )
    for fields in (
        *NO_TOOLS,
        *({"tools": [], "tool_choice": choice} for choice in free),
        *({"tool_choice": choice} for choice in free),
    )
]

NONE_TO_FORCE = [
    Case(
        name=f"a call of no tool cannot be forced ({path}, {fields})",
        path=path,
        body=asking(path, **fields),
        status=400,
        param="tools",
        message="tools: tool_choice",
    )
    for path, choices in FORCED.items()
    for choice in choices
    for fields in ({"tools": [], "tool_choice": choice}, {"tool_choice": choice})
]


def check_message_id(reply: Any) -> None:
    assert reply["id"].startswith("msg_"), reply["id"]


def prefilled(content: Any, **fields: Any) -> dict[str, Any]:
    body = asking(MESSAGES, tokens=200, **fields)
    return {**body, "messages": [BILL, {"role": "assistant", "content": content}]}


THINKING = {
    "type": "thinking",
    "thinking": "\nFirst comes soup: 0 + 9 = 9\nAfter soup comes fish: 9 + 4 =",
    "signature": "x",
}


def check_thinking_goes_on(reply: Any) -> None:
    kinds = [block["type"] for block in reply["content"]]
    assert kinds == ["thinking", "text"], reply
    assert reply["content"][0]["thinking"].startswith(" 13"), reply
    assert 0 < reply["thinking_report"]["tokens"] < reply["usage"]["output_tokens"]


def check_capped_thinking_goes_on(reply: Any) -> None:
    assert reply["content"][0]["thinking"].startswith(" 1"), reply
    assert (reply["thinking_report"]["tokens"], reply["thinking_report"]["ended_by"]) == (3, "cap")


def check_answer_goes_on(reply: Any) -> None:
    assert [block["type"] for block in reply["content"]] == ["text"], reply
    assert reply["thinking_report"]["tokens"] == 0
    assert not reply["content"][0]["text"].startswith("\n"), reply


PREFILLS = [
    Case(
        name="a message goes on while thinking",
        path=MESSAGES,
        body=prefilled([THINKING]),
        check=check_thinking_goes_on,
    ),
    Case(
        name="thinking of a message that goes on is not counted",
        path=MESSAGES,
        body=prefilled([THINKING], max_thinking_tokens=3),
        check=check_capped_thinking_goes_on,
    ),
    *(
        Case(
            name=f"a message goes on in its answer ({content})",
            path=MESSAGES,
            body=prefilled(content),
            check=check_answer_goes_on,
        )
        for content in (
            "\nAnswer:",
            [{"type": "text", "text": "\nAnswer:"}],
            [THINKING, {"type": "text", "text": "\nAnswer:"}],
        )
    ),
    Case(
        name="a message does not go on from a tool call",
        path=MESSAGES,
        body=prefilled([{"type": "tool_use", "id": "a", "name": "add", "input": {}}]),
        status=400,
        param="messages",
        message="messages: the reply goes on",
    ),
    Case(
        name="a message that goes on has to fit into the context",
        path=MESSAGES,
        body=prefilled("a b c d " * 3000),
        status=400,
        param="messages",
        message="messages: ",
    ),
    Case(
        name="an answer that was begun cannot be thought about first",
        path=MESSAGES,
        body=prefilled("\nAnswer:", min_thinking_tokens=5),
        status=400,
        param="min_thinking_tokens",
        message="min_thinking_tokens",
    ),
]


def text_of(reply: Any) -> str:
    """The answer of a reply, in the form of its endpoint."""
    if "choices" in reply:
        choice = reply["choices"][0]
        return str(choice["text"] if "text" in choice else choice["message"]["content"])
    if "output" in reply:
        return "".join(
            part["text"] for item in reply["output"] if item["type"] == "message" for part in item["content"]
        )
    return "".join(block["text"] for block in reply["content"] if block["type"] == "text")


def answers(text: str) -> Callable[[Any], None]:
    def check(reply: Any) -> None:
        assert text_of(reply).endswith(text), reply

    return check


PROMPT = f"<|im_start|>user\n{BILL['content']}<|im_end|>\n<|im_start|>assistant\n<|im_start|>think\n"
STOP_FIELDS = {CHAT: "stop", MESSAGES: "stop_sequences", COMPLETIONS: "stop"}

STOPS = [
    Case(
        name=f"a stop string begins in the answer ({path}, {stop!r}, {more})",
        path=path,
        body={
            **(asking(path) if path != COMPLETIONS else {"prompt": PROMPT, "max_tokens": 60, "temperature": 0}),
            "max_thinking_tokens": 12,
            field: [stop],
            **more,
        },
        check=answers("\nFinal Answer: 9" if path == COMPLETIONS else "\nFinal Answer: 0"),
    )
    for path, field in STOP_FIELDS.items()
    for stop in (": ", "Answer: ", "\nF", "nal Answer: ")
    for more in ({}, *([{"include_stop_str_in_output": True}] if path != MESSAGES else []))
]
MATCHED = [
    Case(
        name="a stop string in the answer ends it",
        path=CHAT,
        body=asking(CHAT, max_thinking_tokens=0, stop=["0"]),
        check=answers("\nFinal Answer: "),
    ),
    Case(
        name="a stop string in the answer can be kept",
        path=CHAT,
        body=asking(CHAT, max_thinking_tokens=0, stop=[" 0"], include_stop_str_in_output=True),
        check=answers("\nFinal Answer: 0"),
    ),
]


def check_echo(reply: Any) -> None:
    usage, reports = reply["usage"], [choice["thinking"] for choice in reply["choices"]]
    assert (usage["completion_tokens"], usage["total_tokens"]) == (0, usage["prompt_tokens"]), reply
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 0
    assert {(report["tokens"], report["ended_by"]) for report in reports} == {(0, "none")}, reply
    assert {choice["finish_reason"] for choice in reply["choices"]} == {"length"}


ECHOES = [
    Case(
        name=f"an echo generates nothing ({prompt!r}, {more})",
        path=COMPLETIONS,
        body={"prompt": prompt, "echo": True, "max_tokens": 0, **more},
        check=check_echo,
        streams="prompt_logprobs" not in more,
    )
    for prompt in ("x", PROMPT)
    for more in ({}, {"logprobs": 1}, {"n": 2}, {"prompt_logprobs": 1})
    if not (more.get("prompt_logprobs") and prompt == PROMPT)
]
NO_TOKENS = [
    Case(
        name=f"a reply without tokens is refused ({path}, {field})",
        path=path,
        body={**asking(path), **({"prompt": "x"} if path == COMPLETIONS else {}), field: 0},
        status=400,
        param=field,
        message=field,
    )
    for path, field in (
        (CHAT, "max_tokens"),
        (CHAT, "max_completion_tokens"),
        (COMPLETIONS, "max_tokens"),
        (MESSAGES, "max_tokens"),
        (RESPONSES, "max_output_tokens"),
    )
]

CASES: list[Case] = [
    *FORCED_CALLS,
    *WITHOUT_TOOLS,
    *NONE_TO_FORCE,
    Case(name="the id of a message begins with msg_", path=MESSAGES, body=asking(MESSAGES), check=check_message_id),
    *PREFILLS,
    *STOPS,
    *MATCHED,
    *ECHOES,
    *NO_TOKENS,
]
