"""A reply goes on from the last message if that is the assistant's."""

from typing import Any

import pytest
from vllm.exceptions import VLLMValidationError

from tenuto_server.api.anthropic import MessageChatRequest, MessagesRequest, ThinkingMessages
from tenuto_server.api.message_prefill import prefill_of
from tenuto_server.api.prefill import Prefill

USER: dict[str, Any] = {"role": "user", "content": "x"}


def request_ending_in(content: Any, **fields: Any) -> MessagesRequest:
    messages = [USER, {"role": "assistant", "content": content}]
    return MessagesRequest.model_validate({"model": "m", "max_tokens": 50, "messages": messages, **fields})


def text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": ""}


@pytest.mark.parametrize(
    ("content", "prefill"),
    [
        ("The total", Prefill(thinking=None, answer="The total")),
        ([text("The "), text("total")], Prefill(thinking=None, answer="The total")),
        ([thinking("\nab")], Prefill(thinking="\nab", answer=None)),
        ([thinking("\nab\n"), text("c")], Prefill(thinking="\nab\n", answer="c")),
        ([thinking("\nab\n"), text("")], Prefill(thinking="\nab\n", answer="")),
        ([thinking("")], Prefill(thinking="", answer=None)),
        ("", None),
        ([], None),
        ([text("")], None),
    ],
    ids=str,
)
def test_a_reply_goes_on_from_text_and_from_thinking(content: Any, prefill: Prefill | None) -> None:
    request = request_ending_in(content)
    assert prefill_of(request.messages) == prefill
    chat = ThinkingMessages.to_chat_completion_request(request)
    assert isinstance(chat, MessageChatRequest)
    assert chat.prefill == prefill
    assert [message["role"] for message in chat.messages] == ["user"]
    assert len(request.messages) == 2


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([{"type": "tool_use", "id": "a", "name": "add", "input": {}}], "tool_use"),
        ([text("a"), {"type": "tool_use", "id": "a", "name": "add", "input": {}}], "tool_use"),
        ([{"type": "redacted_thinking", "data": "x"}], "redacted_thinking"),
        ([text("a"), thinking("b")], "thinking after text"),
    ],
    ids=["a call", "a call after text", "hidden thinking", "thinking again"],
)
def test_what_cannot_go_on_is_refused(content: Any, what: str) -> None:
    with pytest.raises(VLLMValidationError, match=f"^messages: .* cannot hold {what}") as wrong:
        ThinkingMessages.to_chat_completion_request(request_ending_in(content))
    assert wrong.value.parameter == "messages"


def test_structured_output_cannot_go_on_from_text() -> None:
    format_ = {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}
    with pytest.raises(VLLMValidationError, match="structured output"):
        ThinkingMessages.to_chat_completion_request(request_ending_in('{"a":', **format_))
    chat = ThinkingMessages.to_chat_completion_request(request_ending_in([thinking("a")], **format_))
    assert chat.response_format is not None


def test_earlier_messages_of_the_assistant_are_history() -> None:
    messages = [USER, {"role": "assistant", "content": "y"}, USER]
    request = MessagesRequest.model_validate({"model": "m", "max_tokens": 50, "messages": messages})
    assert prefill_of(request.messages) is None
    assert len(ThinkingMessages.to_chat_completion_request(request).messages) == 3
