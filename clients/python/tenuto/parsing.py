"""Parse the server's JSON into the types of `replies`. JSON of another shape raises `InvalidReply`."""

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tenuto.errors import InvalidReply
from tenuto.replies import (
    Choice,
    ChoiceFinished,
    ContentDelta,
    Event,
    Json,
    Model,
    ReasoningDelta,
    Reply,
    SteeredChoice,
    Steering,
    TextForced,
    ThinkingReport,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReported,
)

T = TypeVar("T")


def load_object(text: str | bytes) -> Json:
    """Parse a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidReply(f"the response is not JSON: {text[:200]!r}") from error
    if not isinstance(value, dict):
        raise InvalidReply(f"the response is not a JSON object: {text[:200]!r}")
    return value


def checked(parse: Callable[[Json], T], value: Json) -> T:
    """Return `parse(value)`; raise `InvalidReply` if a field is missing or has the wrong type."""
    try:
        return parse(value)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise InvalidReply(f"the response does not match the API ({problem}): {value}") from error


def parse_models(value: Json) -> tuple[Model, ...]:
    return tuple(Model(item["id"], item.get("max_model_len")) for item in value["data"])


def parse_reply(value: Json) -> Reply:
    choices = tuple(parse_choice(item) for item in value["choices"])
    return Reply(value["id"], value["model"], choices, parse_usage(value["usage"]), value)


def parse_choice(value: Json) -> Choice:
    message = value["message"]
    return Choice(
        index=value["index"],
        reasoning=parse_reasoning(message),
        content=message.get("content") or "",
        finish_reason=value["finish_reason"],
        thinking=parse_thinking(value),
        tool_calls=tuple(parse_tool_call(call) for call in message.get("tool_calls") or ()),
    )


def parse_tool_call(value: Json) -> ToolCall:
    function = value["function"]
    return ToolCall(value["id"], function["name"], function["arguments"])


def parse_steering(value: Json) -> Steering:
    choices = (
        SteeredChoice(item["index"], item["applied"], item["phase"], item["tokens"]) for item in value["choices"]
    )
    return Steering(value["id"], tuple(choices))


def parse_events(value: Json) -> list[Event]:
    """Return the events of one stream chunk."""
    found = [event for item in value["choices"] for event in parse_choice_events(item)]
    return [*found, UsageReported(parse_usage(value["usage"]))] if value.get("usage") else found


def parse_choice_events(value: Json) -> Iterator[Event]:
    index, delta = value["index"], value["delta"]
    if text := parse_reasoning(delta):
        yield ReasoningDelta(index, text)
    if text := delta.get("content"):
        yield ContentDelta(index, text)
    for call in delta.get("tool_calls") or ():
        function = call.get("function") or {}
        yield ToolCallDelta(index, call["index"], call.get("id"), function.get("name"), function.get("arguments") or "")
    forced = tuple(TextForced(index, item["kind"], item["start"], item["text"]) for item in value.get("forced") or ())
    if reason := value.get("finish_reason"):
        yield ChoiceFinished(index, reason, parse_thinking(value), forced)
    else:
        yield from forced


def parse_reasoning(message: Json) -> str:
    """Servers name this field differently; one that sends both names sends the same text in each."""
    text: str = message.get("reasoning") or message.get("reasoning_content") or ""
    return text


def parse_thinking(value: Json) -> ThinkingReport | None:
    report = value.get("thinking")
    if report is None:
        return None
    return ThinkingReport(
        tokens=int(report["tokens"]),
        waits=int(report["waits"]),
        ended_by=str(report["ended_by"]),
        max_thinking_tokens=optional_int(report.get("max_thinking_tokens")),
        min_thinking_tokens=optional_int(report.get("min_thinking_tokens")),
        set_by=dict(report.get("set_by") or {}),
        steered=int(report.get("steered") or 0),
    )


def parse_usage(value: Json) -> Usage:
    details = value.get("completion_tokens_details") or {}
    return Usage(
        prompt_tokens=int(value["prompt_tokens"]),
        completion_tokens=int(value["completion_tokens"]),
        total_tokens=int(value["total_tokens"]),
        reasoning_tokens=optional_int(details.get("reasoning_tokens")),
    )


def optional_int(value: Any) -> int | None:
    return None if value is None else int(value)
