"""Anthropic's Messages on top of our chat: its request bodies, and the report in its messages and streams."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic_core import from_json

from tenuto_decoding.budget import MAX_TOKENS

from .. import vllm_compat
from ..context import report_stream_error
from ..errors import GenerationFailed
from .checked_body import CheckedBody
from .protocol import BudgetFields, ChatCompletionRequest, CheckedNames
from .thinking_reports import CountedReplies, to_json_text

#: The field of the report. In messages, `thinking` names blocks of the content.
REPORT = "thinking_report"


class ThinkingSetting(BaseModel):
    """Anthropic's field for extended thinking."""

    type: Literal["enabled", "disabled", "adaptive", "auto"]
    budget_tokens: int | None = Field(
        default=None,
        ge=-1,
        le=MAX_TOKENS,
        description="The same as `max_thinking_tokens`. Unlike Anthropic's it may be small, and it is never exceeded. "
        "-1: no cap.",
    )
    display: Literal["summarized", "omitted", "updates"] | None = Field(
        default=None, description="Accepted for Anthropic's clients and ignored: thinking is always returned whole."
    )


class MessagesRequest(BudgetFields, CheckedBody, vllm_compat.AnthropicMessagesRequest):
    """Body of `POST /v1/messages`."""

    thinking: ThinkingSetting | None = None


class CountTokensRequest(CheckedNames, CheckedBody, vllm_compat.AnthropicCountTokensRequest):
    """Body of `POST /v1/messages/count_tokens`."""

    thinking: ThinkingSetting | None = None


class ThinkingMessages(vllm_compat.AnthropicServingMessages):
    """vLLM's Messages, whose requests to the chat carry the budget of the message."""

    @classmethod
    def to_chat_completion_request(cls, anthropic_request: Any, **options: Any) -> Any:
        """vLLM's chat request as ours, which carries the budget; vLLM's own budget stays unset."""
        chat = super().to_chat_completion_request(anthropic_request, **options)
        if not isinstance(anthropic_request, MessagesRequest):
            return chat
        fields = {name: value for name, value in chat if name in chat.model_fields_set}
        fields["thinking_token_budget"] = None
        if anthropic_request.budget_request.effort is not None:
            fields.setdefault("reasoning_effort", anthropic_request.budget_request.effort)
        return ChatCompletionRequest.model_construct(**fields).with_budget_of(anthropic_request)

    def create_streaming_error_response(self, message: Any, *args: Any, **kwargs: Any) -> str:
        """Raise the error, which ends the message's stream with an error event.

        vLLM 0.32 would put it into the chat's stream, where the conversion to a message takes it for a broken chunk.
        """
        raise GenerationFailed(self.create_error_response(message, *args, **kwargs).error.message)


def add_report_to_message(message: vllm_compat.AnthropicMessagesResponse, counted: CountedReplies) -> dict[str, Any]:
    """A whole message with its report and the count in its usage."""
    data: dict[str, Any] = message.model_dump(exclude_none=True)
    _add_report(data, counted)
    return data


async def add_report_to_events(events: AsyncGenerator[str, None], counted: CountedReplies) -> AsyncGenerator[str, None]:
    """A stream with both in its `message_delta`."""
    async with aclosing(events):
        async for event in events:
            yield _complete(event, counted)


def _complete(event: str, counted: CountedReplies) -> str:
    kind, _, rest = event.removeprefix("event: ").partition("\n")
    if kind not in ("message_delta", "error"):
        return event
    data = from_json(rest.removeprefix("data: "))
    if kind == "error":
        report_stream_error()
        if data["error"]["type"] == "internal_error":  # vLLM 0.32
            data["error"]["type"] = "api_error"
    else:
        _add_report(data, counted)
    return f"event: {kind}\ndata: {to_json_text(data)}\n\n"


def _add_report(data: dict[str, Any], counted: CountedReplies) -> None:
    data[REPORT] = counted.report(0)
    if counted.replies:
        data["usage"]["output_tokens_details"] = {"thinking_tokens": counted.reasoning_tokens}
