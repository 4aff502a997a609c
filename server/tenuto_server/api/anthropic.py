"""Anthropic's Messages on top of our chat: its request bodies, and the report in its messages and streams."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, PrivateAttr
from pydantic_core import from_json
from vllm.exceptions import VLLMValidationError

from tenuto_decoding.budget import MAX_TOKENS

from .. import vllm_compat
from ..context import report_stream_error
from ..errors import GenerationFailed
from ..paths import MESSAGES
from ..reasoning.json_prefix import JsonPrefix, is_complete, read_object
from .checked_body import CheckedBody
from .message_blocks import Message, MessageBlock
from .message_prefill import prefill_of
from .prefill import Prefill
from .protocol import BudgetFields, ChatCompletionRequest, CheckedNames
from .thinking_reports import CountedReplies, to_json_text
from .tool_choice import no_tools_to_call, unknown_tool

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

    messages: list[Message]
    system: str | list[MessageBlock] | None = None
    thinking: ThinkingSetting | None = None


class CountTokensRequest(CheckedNames, CheckedBody, vllm_compat.AnthropicCountTokensRequest):
    """Body of `POST /v1/messages/count_tokens`."""

    messages: list[Message]
    system: str | list[MessageBlock] | None = None
    thinking: ThinkingSetting | None = None


class MessageChatRequest(ChatCompletionRequest):
    """The chat that a message becomes."""

    _prefill: Prefill | None = PrivateAttr(default=None)

    @property
    def prefill(self) -> Prefill | None:
        """What the reply has said already."""
        return self._prefill

    def with_prefill(self, prefill: Prefill | None) -> Self:
        """This request, with what its reply has said already."""
        self._prefill = prefill
        if prefill is not None and prefill.thinking is not None:
            self.with_variables({})  # thinking that goes on needs a prompt that has not closed it
        return self


class ThinkingMessages(vllm_compat.CheckedChat, vllm_compat.AnthropicServingMessages):
    """vLLM's Messages, whose requests to the chat carry the budget of the message."""

    @classmethod
    def to_chat_completion_request(cls, anthropic_request: Any, **options: Any) -> Any:
        """vLLM's chat request as ours, which carries the budget; vLLM's own budget stays unset.

        Raises:
            VLLMValidationError: for a last turn that cannot go on.
            InvalidRequest: for a choice of a tool that is not there.
        """
        prefill = prefill_of(anthropic_request.messages)
        if anthropic_request.messages and anthropic_request.messages[-1].role == "assistant":
            earlier = anthropic_request.messages[:-1]
            chat = super().to_chat_completion_request(
                anthropic_request.model_copy(update={"messages": earlier}), **options
            )
        else:
            chat = super().to_chat_completion_request(anthropic_request, **options)
        if prefill is not None and prefill.answer is not None and chat.response_format is not None:
            raise VLLMValidationError(
                "messages: structured output (output_config.format) cannot go on from the text of a last turn",
                parameter="messages",
            )
        if not chat.tools:  # any, counting those that messages add
            if chat.tool_choice not in (None, "auto", "none"):
                raise no_tools_to_call(anthropic_request.tool_choice.model_dump(exclude_none=True))
            chat.tools, chat.tool_choice = None, "none"
        choice = anthropic_request.tool_choice
        if (
            choice is not None
            and choice.type == "tool"
            and all(t.function.name != choice.name for t in chat.tools or ())
        ):
            raise unknown_tool(choice.name)
        fields = {name: value for name, value in chat if name in chat.model_fields_set}
        fields["thinking_token_budget"] = None
        if anthropic_request.budget_request.effort is not None:
            fields.setdefault("reasoning_effort", anthropic_request.budget_request.effort)
        request = MessageChatRequest.model_construct(**fields).with_budget_of(anthropic_request)
        return request.with_prefill(prefill)

    async def render_chat_request(self, request: Any) -> Any:
        rendered = await super().render_chat_request(request)
        if request.prefill is None or isinstance(rendered, vllm_compat.ErrorResponse):
            return rendered
        _, (prompt,) = rendered
        request.prefill.append_to(prompt, self.renderer.tokenizer, self.parser_cls, "messages")
        length, limit = len(prompt["prompt_token_ids"]), self.model_config.max_model_len
        if length >= limit:
            raise VLLMValidationError(
                f"messages: {length} tokens leave no room for a reply in a context of {limit}", parameter="messages"
            )
        return rendered

    def chat_completion_stream_generator(
        self, request: Any, result_generator: Any, request_id: str, *args: Any, **kwargs: Any
    ) -> AsyncGenerator[str, None]:
        chunks: AsyncGenerator[str, None] = super().chat_completion_stream_generator(
            request, result_generator, MESSAGES.reply_id(request_id), *args, **kwargs
        )
        return chunks

    async def chat_completion_full_generator(
        self, request: Any, result_generator: Any, request_id: str, *args: Any, **kwargs: Any
    ) -> Any:
        return await super().chat_completion_full_generator(
            request, result_generator, MESSAGES.reply_id(request_id), *args, **kwargs
        )

    def messages_full_converter(self, generator: Any) -> vllm_compat.AnthropicMessagesResponse:
        """A whole message. vLLM reads the arguments of its tool calls, and takes every call for complete."""
        (choice,) = generator.choices
        functions = [call.function for call in choice.message.tool_calls]
        is_cut = bool(functions) and not is_complete(functions[-1].arguments)
        for function in functions:
            function.arguments = json.dumps(read_object(function.arguments))
        message: vllm_compat.AnthropicMessagesResponse = super().messages_full_converter(generator)
        if is_cut and message.stop_reason == "tool_use" and isinstance(choice.stop_reason, str):
            message.stop_reason, message.stop_sequence = "stop_sequence", choice.stop_reason
        return message

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
    """A stream with both in its `message_delta`, and with the content blocks that the whole message has."""
    blocks = _Blocks()
    async with aclosing(events):
        async for event in events:
            for completed in blocks.complete(*_read(event)):
                yield _complete(completed, counted)


class _Blocks:
    """The content blocks of a stream."""

    def __init__(self) -> None:
        self._inputs = dict[int, JsonPrefix]()  # of tool calls, by the index of their block
        self._has_any = False

    def complete(self, kind: str, data: str) -> list[tuple[str, str]]:
        """The events to send for one of vLLM's, as (type, data)."""
        if kind == "content_block_start":
            self._has_any = True
        elif kind == "message_delta" and not self._has_any:
            return [*_EMPTY_BLOCK, (kind, data)]
        elif kind == "content_block_delta" and '"input_json_delta"' in data:
            return self._with_input(kind, data)
        return [(kind, data)]

    def _with_input(self, kind: str, text: str) -> list[tuple[str, str]]:
        """The piece of a tool call's input, as far as it belongs to an object."""
        data = from_json(text)
        if data["delta"]["type"] != "input_json_delta":
            return [(kind, text)]
        passed = self._inputs.setdefault(data["index"], JsonPrefix(objects_only=True))
        data["delta"]["partial_json"] = passed.feed(data["delta"]["partial_json"])
        return [(kind, to_json_text(data))] if data["delta"]["partial_json"] else []


#: What vLLM puts into a whole message without content, since clients rely on there being a block.
_EMPTY_BLOCK = (
    ("content_block_start", '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'),
    ("content_block_stop", '{"type":"content_block_stop","index":0}'),
)


def _read(event: str) -> tuple[str, str]:
    """(type, data) of an event."""
    kind, _, rest = event.removeprefix("event: ").partition("\n")
    return kind, rest.removeprefix("data: ").rstrip("\n")


def _complete(event: tuple[str, str], counted: CountedReplies) -> str:
    kind, text = event
    if kind in ("message_delta", "error"):
        data = from_json(text)
        if kind == "error":
            report_stream_error()
            if data["error"]["type"] == "internal_error":  # vLLM 0.32
                data["error"]["type"] = "api_error"
        else:
            _add_report(data, counted)
        text = to_json_text(data)
    return f"event: {kind}\ndata: {text}\n\n"


def _add_report(data: dict[str, Any], counted: CountedReplies) -> None:
    data[REPORT] = counted.report(0)
    if counted.replies:
        # The report again: the SDK's `stream()` keeps nothing else of a `message_delta`.
        details = {"thinking_tokens": counted.reasoning_tokens, REPORT: data[REPORT]}
        data["usage"]["output_tokens_details"] = details
