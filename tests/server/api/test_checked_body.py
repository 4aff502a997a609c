"""Whatever a body holds, refusing it costs little, and results in one error that names the field."""

import json
import logging
from typing import Any

import psutil
import pytest
from openai.types.responses import ResponseOutputMessage
from pydantic import ValidationError

from tenuto_decoding.errors import InvalidBudget
from tenuto_server.api import checked_body
from tenuto_server.api.anthropic import CountTokensRequest, MessagesRequest
from tenuto_server.api.checked_body import CheckedBody
from tenuto_server.api.openai_responses import ResponsesRequest
from tenuto_server.api.protocol import (
    BatchChatCompletionRequest,
    ChatCompletionRequest,
    CompletionRequest,
    DetokenizeRequest,
    TokenizeChatRequest,
    TokenizeCompletionRequest,
)
from tenuto_server.api.routes.requests import SteeringRequest
from tenuto_server.api.union_choice import Chooser
from tenuto_server.errors import InvalidRequest
from tenuto_testing.schema_bodies import Bodies

TYPES: list[type[CheckedBody]] = [
    ChatCompletionRequest,
    BatchChatCompletionRequest,
    CompletionRequest,
    ResponsesRequest,
    MessagesRequest,
    CountTokensRequest,
    TokenizeChatRequest,
    TokenizeCompletionRequest,
    DetokenizeRequest,
    SteeringRequest,
]
#: More errors than this come only of a list or object whose wrong parts are all validated.
MAX_ERRORS = 40
WRONG: list[Any] = [{}, [], "x", 7, None, True, {"type": "message"}, {"role": "user"}, {"type": "x", "role": "x"}]
KINDS = {"list", "dict", "generator", "set", "frozenset", "tuple"}
#: Fields that are declared by a type for output only, of an item that is read as its type for input.
OF_OTHER_TYPES = {".input[].output[].created_by"}
BILL = {"role": "user", "content": "Add up this bill: soup 9, fish 4"}


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many errors pydantic has collected for each refusal."""
    found: list[int] = []
    refusal_of = checked_body.refusal_of

    def counting(error: ValidationError) -> Exception:
        found.append(error.error_count())
        return refusal_of(error)

    monkeypatch.setattr(checked_body, "refusal_of", counting)
    return found


def refusal(kind: type[CheckedBody], body: Any) -> InvalidRequest | None:
    """The refusal of a body; None if it is accepted, or refused by a validator of ours."""
    try:
        kind.model_validate(body)
    except InvalidRequest as error:
        return error
    except (ValidationError, InvalidBudget):
        return None
    return None


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_refusing_costs_little_for_every_list_and_object_of_every_type(
    kind: type[CheckedBody], counts: list[int]
) -> None:
    """1,200 items of 4 bytes were 280,000 errors, 3 seconds, and 1.8 GB that stayed."""
    bodies = Bodies(kind.__pydantic_core_schema__)
    places = [(path, place) for path, schema, _, place in bodies.places() if bodies.unwrapped(schema)["type"] in KINDS]
    refusal(kind, bodies.smallest())
    before = psutil.Process().memory_info().rss
    refused = 0
    for path, place in places:
        for item in WRONG:
            for many in ([item] * 800, {str(number): item for number in range(800)}):
                counts.clear()
                error = refusal(kind, place(many))
                assert max(counts, default=0) <= MAX_ERRORS, (path, item, counts)
                refused += error is not None
                assert error is None or len(str(error)) < 600, (path, item)
    assert not places or refused > len(places)
    assert psutil.Process().memory_info().rss - before < 64 << 20


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_null_for_an_optional_field_is_the_same_as_leaving_it_out(kind: type[CheckedBody]) -> None:
    """At every level that the schema declares: serializers send null for everything unset."""
    bodies = Bodies(kind.__pydantic_core_schema__)
    places = list(bodies.places())
    # Two types of one item may differ in whether a field that can be null can be left out too.
    required = {path for path, _, is_optional, _ in places if is_optional is False}
    optional = [(path, place) for path, _, is_optional, place in places if is_optional and path not in required]
    kept = set()
    for path, place in optional:
        try:
            shape = checked_body._shape(kind).validate_python(place(None))
        except ValidationError as error:  # without it, nothing says what the part is
            shape = {} if "has no type" in str(error) else None
        kept |= {path} if "null" in json.dumps(shape) else set()
    assert kept <= OF_OTHER_TYPES
    assert optional or kind is DetokenizeRequest


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_a_value_of_a_wrong_type_is_an_error_that_names_the_field(kind: type[CheckedBody]) -> None:
    """vLLM's validators ran first and failed in Python's words: "'int' object is not iterable"."""
    bodies = Bodies(kind.__pydantic_core_schema__)
    for path, _, _, place in bodies.places():
        for value in WRONG:
            error = refusal(kind, place(value))
            if error is not None:
                assert str(error).startswith(f"{error.param}: "), (path, value)
                assert "cannot be read" not in str(error), (path, value, error)
                assert error.param != "body", (path, value, error)


CASES: list[tuple[type[CheckedBody], dict[str, Any], str, str]] = [
    (ResponsesRequest, {"input": [{}] * 1200}, "input.0", "has no type and no role"),
    (ResponsesRequest, {"input": 7}, "input", "should be a string or a list; it is 7"),
    (ResponsesRequest, {"input": [{"type": "nonsense"}]}, "input.0", "type: 'nonsense' is not one of"),
    (ResponsesRequest, {"input": [{"type": "function_call", "name": "f"}]}, "input.0.arguments", "is required"),
    (
        ResponsesRequest,
        {"input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]},
        "input.0.content.0",
        "type: 'output_text' is not one of input_file, input_image, input_text",
    ),
    (ChatCompletionRequest, {"messages": 7}, "messages", "should be a valid list; it is 7"),
    (ChatCompletionRequest, {"messages": [{}] * 20_000}, "messages.0", "has no role"),
    (ChatCompletionRequest, {"messages": [BILL, {"role": "user", "content": 7}]}, "messages.1.content", "it is 7"),
    (ChatCompletionRequest, {"messages": [BILL], "stop": [1]}, "stop.0", "should be a valid string; it is 1"),
    (ChatCompletionRequest, {"messages": [BILL], "logit_bias": {"5": {}}}, "logit_bias.5", "should be a valid number"),
    (
        ChatCompletionRequest,
        {"messages": [BILL], "tools": [{}], "tool_choice": {"type": "function", "function": {"name": "x"}}},
        "tools.0.function",
        "is required",
    ),
    (
        ChatCompletionRequest,
        {"messages": [BILL], "continue_final_message": True, "add_generation_prompt": True},
        "continue_final_message",
        "Cannot set both",
    ),
    (
        ChatCompletionRequest,
        {"messages": [BILL], "structured_outputs": {"regex": "a", "choice": ["a"]}},
        "structured_outputs",
        "one kind",
    ),
    (CompletionRequest, {"prompt": [[1], ["a"]]}, "prompt.1.0", "should be a valid integer"),
    (CompletionRequest, {"prompt": ["a", 7]}, "prompt.1", "should be a valid string; it is 7"),
    (MessagesRequest, {"model": "m", "max_tokens": 5, "messages": [{}] * 20_000}, "messages.0.role", "is required"),
    (SteeringRequest, {"action": "stop"}, "action", "'answer_now' or 'think_until'; it is 'stop'"),
]


@pytest.mark.parametrize(("kind", "body", "field", "reason"), CASES, ids=lambda value: str(value)[:50])
def test_the_error_is_about_what_was_meant(
    kind: type[CheckedBody], body: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        kind.model_validate(body)
    assert caught.value.param == field
    assert reason in str(caught.value)


def test_a_failing_validator_of_vllms_is_a_refusal_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(body: Any) -> Any:
        raise KeyError("stop")

    monkeypatch.setattr(checked_body, "_shape", lambda cls: type("Shape", (), {"validate_python": fail}))
    with caplog.at_level(logging.WARNING, "vllm.tenuto"), pytest.raises(InvalidRequest) as caught:
        ChatCompletionRequest.model_validate({"messages": [BILL], "stop": "x"})
    assert caught.value.param == "stop"


def test_values_that_no_schema_describes_keep_their_nulls() -> None:
    parameters = {"type": "object", "default": None, "properties": {"a": {"enum": [None, 1], "default": None}}}
    tool = {
        "type": "function",
        "function": {"name": "f", "description": None, "strict": None, "parameters": parameters},
    }
    body = {"messages": [BILL], "tools": [tool], "tool_choice": None, "chat_template_kwargs": {"a": None}}
    request = ChatCompletionRequest.model_validate(body)
    assert request.tools is not None
    assert request.tools[0].function.parameters == parameters
    assert request.chat_template_kwargs == {"a": None}
    assert request.tool_choice == "auto"


HISTORIES: list[list[Any]] = [
    [BILL, {"role": "assistant", "content": [{"type": "output_text", "text": "x"}]}, {"role": "user", "content": "go"}],
    [{"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": None, "logprobs": None}]}],
    [{"type": "message", "id": None, "status": None, "role": "assistant", "content": [{"type": "text", "text": "x"}]}],
    [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}, {"type": "input_text", "text": "x"}]}],
    [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "x"}], "status": None}],
    [{"type": "reasoning", "id": "rs_1", "summary": None, "encrypted_content": None, "content": None}],
    [{"type": "message", "role": "assistant", "content": []}, BILL],
    [
        {"type": "function_call", "id": None, "call_id": "c", "name": "f", "arguments": "{}", "status": None},
        {"type": "function_call_output", "id": None, "call_id": "c", "output": "5", "status": None},
    ],
]


@pytest.mark.parametrize("items", HISTORIES, ids=lambda items: str(items)[:60])
def test_the_usual_forms_of_history_become_vllms_types(items: list[Any]) -> None:
    """Codex, opencode, the AI SDK and LiteLLM leave out what the types of output require."""
    request = ResponsesRequest.model_validate({"input": items})
    assert len(request.input) == len(items)
    for given, read in zip(items, request.input, strict=True):
        if given.get("content") and given.get("role") == "assistant":
            assert isinstance(read, ResponseOutputMessage)
            assert [part.type for part in read.content] == [
                "refusal" if part["type"] == "refusal" else "output_text" for part in given["content"]
            ]


def test_a_message_as_the_sdk_dumps_it_keeps_what_it_says() -> None:
    dumped = {"role": "assistant", "content": None, "refusal": None, "annotations": None, "audio": None}
    dumped |= {"function_call": None, "tool_calls": None, "reasoning": "soup", "reasoning_content": "soup"}
    request = ChatCompletionRequest.model_validate({"messages": [BILL, dumped, BILL]})
    assert request.messages[1] == {"role": "assistant", "reasoning": "soup", "annotations": None}


def test_calls_of_tools_are_lists_after_reading() -> None:
    """Pydantic left iterators, which can be read once and fail where they are read."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": [{"type": "text", "text": "x"}], "tool_calls": [call]}
    request = ChatCompletionRequest.model_validate({"messages": [message]})
    assert request.messages[0] == message


def test_a_long_valid_history_is_read_with_one_choice_for_each_union(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,200 turns in the easy form: one choice for the item and one for its part, in each of the two steps."""
    turn = {"role": "assistant", "content": [{"type": "output_text", "text": "x"}]}
    chosen = 0
    choose = Chooser.choose

    def counting(self: Chooser, value: Any) -> str:
        nonlocal chosen
        chosen += 1
        return choose(self, value)

    monkeypatch.setattr(Chooser, "choose", counting)
    body = {"input": [turn] * 1200}
    assert len(ResponsesRequest.model_validate(body).input) == 1200
    assert chosen <= 1200 * 8
