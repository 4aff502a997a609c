"""Anthropic's Messages on top of our chat: what goes in, and the account of the thinking in what comes out."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from pydantic import BaseModel, Field
from vllm.entrypoints.anthropic.protocol import (
    AnthropicCountTokensRequest,
    AnthropicMessagesRequest,
    AnthropicMessagesResponse,
)
from vllm.entrypoints.anthropic.serving import AnthropicServingMessages

from tenuto_decoding.budget import MAX_TOKENS

from ..errors import GenerationFailed
from .protocol import BudgetFields, ChatCompletionRequest, CheckedNames
from .thinking_reports import Account, compact

#: Where a message has the report: `thinking` is the name of what the request asks for and of blocks of the content.
REPORT = "thinking_report"


class ThinkingSetting(BaseModel):
    """Anthropic's way to ask for thinking."""

    type: Literal["enabled", "disabled", "adaptive", "auto"]
    budget_tokens: int | None = Field(
        default=None,
        ge=-1,
        le=MAX_TOKENS,
        description="Exactly what `max_thinking_tokens` is; unlike Anthropic's it may be small, and is never exceeded. "
        "-1: no cap.",
    )
    display: Literal["summarized", "omitted", "updates"] | None = Field(
        default=None, description="Accepted for Anthropic's clients: thinking is always returned as it is."
    )


class MessagesRequest(BudgetFields, AnthropicMessagesRequest):
    """Body of `POST /v1/messages`."""

    thinking: ThinkingSetting | None = None


class CountTokensRequest(CheckedNames, AnthropicCountTokensRequest):
    """Body of `POST /v1/messages/count_tokens`."""

    thinking: ThinkingSetting | None = None


class ThinkingMessages(AnthropicServingMessages):
    """vLLM's Messages, which asks our chat for what the message asks for."""

    @classmethod
    def _build_base_request(cls, request: Any, messages: list[dict[str, Any]]) -> Any:
        """The chat request that a message becomes, before vLLM adds tools, effort and options of the stream."""
        base = super()._build_base_request(request, messages)
        if not isinstance(request, MessagesRequest):
            return base
        fields = {name: value for name, value in base if name in base.model_fields_set}
        fields |= {"messages": messages, "reasoning_effort": request.budget_request.effort}
        return ChatCompletionRequest(**fields).with_budget_of(request)

    @classmethod
    def _handle_thinking(cls, chat: Any, request: Any, disabled_thinking_effort: Any = "none") -> None:
        """Only templates are told that thinking is disabled; the budget has gone its own way."""
        if request.thinking is not None and request.thinking.type == "disabled":
            super()._handle_thinking(chat, request, disabled_thinking_effort)

    async def message_stream_converter(self, generator: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
        async with aclosing(super().message_stream_converter(_raising(generator))) as events:
            async for event in events:
                yield event


async def _raising(chunks: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """The chunks of a chat; an error among them is raised, for which the conversion has an event."""
    async with aclosing(chunks):
        async for chunk in chunks:
            if chunk.startswith('data: {"error"'):
                raise GenerationFailed(json.loads(chunk.removeprefix("data: "))["error"]["message"])
            yield chunk


def tell_message(message: AnthropicMessagesResponse, account: Account) -> dict[str, Any]:
    """A whole message with its report and the count in its usage."""
    told: dict[str, Any] = message.model_dump(exclude_none=True)
    told[REPORT] = account.report(0)
    _tell_usage(told, account)
    return told


async def tell_events(events: AsyncGenerator[str, None], account: Account) -> AsyncGenerator[str, None]:
    """The same for a stream: both stand in `message_delta`."""
    async with aclosing(events) as followed:
        async for event in followed:
            yield _tell_event(event, account)


def _tell_event(event: str, account: Account) -> str:
    kind, _, rest = event.removeprefix("event: ").partition("\n")
    if kind not in ("message_delta", "error"):
        return event
    data = json.loads(rest.removeprefix("data: "))
    if kind == "error":
        data["error"]["type"] = "api_error"  # Anthropic's word for what vLLM calls an internal error
    else:
        data[REPORT] = account.report(0)
        _tell_usage(data, account)
    return f"event: {kind}\ndata: {compact(data)}\n\n"


def _tell_usage(told: dict[str, Any], account: Account) -> None:
    if account.known:
        told["usage"]["output_tokens_details"] = {"thinking_tokens": account.reasoning_tokens}
