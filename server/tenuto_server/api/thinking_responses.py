"""vLLM's Responses as they serve here."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

from openai.types.responses import ResponseIncompleteEvent
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import RequestOutputKind

from tenuto_decoding.prompt import Phase
from tenuto_decoding.vocabulary import Vocabulary

from .. import vllm_compat
from ..errors import InvalidRequest
from ..reasoning.json_prefix import is_complete
from ..reasoning.thinking_parser import ThinkingParser
from .response_input import Conversation, read_input, refusal_of_input
from .response_logprobs import ResponseLogprobs

Events = AsyncGenerator[Any, None]


class IncompleteEvent(ResponseIncompleteEvent):
    """The last event of a response that was cut off."""

    response: Any


class ThinkingResponses(vllm_compat.CheckedResponses):
    """vLLM's Responses, which keep the whole input, and whose items say where a reply was cut.

    A whole response is made of the events of its stream, so the two cannot differ: vLLM splits a text that has ended in
    other ways than one that arrives in pieces.
    """

    # The input

    async def _render_resolved_response_inputs(self, request: Any, prev_response: None, **options: Any) -> Any:
        try:
            if self.use_harmony:  # vLLM converts the items in another way, for gpt-oss only
                return await super()._render_resolved_response_inputs(request, prev_response, **options)
            return await self._render_whole(request, **options)
        except Exception as error:
            raise refusal_of_input(error, request) from error

    async def _render_whole(self, request: Any, **options: Any) -> Any:
        if request.previous_input_messages:
            raise InvalidRequest("previous_input_messages", "is for gpt-oss only: send the conversation in input")
        conversation = read_input(request.input)
        if conversation.prefill is not None and conversation.prefill.answer and request.extract_structured_outputs():
            raise InvalidRequest(
                "input",
                "the last message goes on, but a structured output begins with the reply: leave one of them out",
            )
        if request.truncation == "auto":
            conversation = await self._shortened(request, conversation, **options)
        return await self._render(request, conversation, **options)

    async def _render(self, request: Any, conversation: Conversation, **options: Any) -> Any:
        request.input = conversation.for_vllm()
        if conversation.prefill is not None and conversation.prefill.thinking is not None:
            request.with_variables({})  # thinking that goes on needs a prompt that has not closed it
        result = await super()._render_resolved_response_inputs(request, None, **options)
        if conversation.prefill is not None and not isinstance(result, vllm_compat.ErrorResponse):
            tokenizer = self.renderer.get_tokenizer()
            conversation.prefill.append_to(result.engine_input, tokenizer, self.parser, "input")
        return result

    async def _shortened(self, request: Any, conversation: Conversation, **options: Any) -> Conversation:
        """The conversation without its oldest exchanges, no more of them than have to go for the reply to fit.

        Raises:
            InvalidRequest: where the last exchange alone is too long.
        """
        beginnings = [0, *conversation.questions[1:]]
        context = self.model_config.max_model_len
        needed = request.max_output_tokens or self.engine_client.room_for_reply(request.budget_request)
        first, last = 0, len(beginnings)  # the first one that fits is among these, or none does
        while first < last:
            middle = (first + last) // 2
            if await self._fits(request, conversation.since(beginnings[middle]), context - needed, **options):
                last = middle
            else:
                first = middle + 1
        if first == len(beginnings):
            raise InvalidRequest(
                "truncation",
                f"auto drops the oldest exchanges, and the last one does not leave the {needed} tokens "
                f"that the reply needs of the model's context of {context}: send less, or ask for a shorter reply",
            )
        return conversation.since(beginnings[first])

    async def _fits(self, request: Any, conversation: Conversation, tokens: int, **options: Any) -> bool:
        """Whether the prompt has no more than that many tokens."""
        try:
            # A copy, for vLLM changes a request while it renders it.
            result = await self._render(request.model_copy(), conversation, **options)
        except VLLMValidationError as error:
            if error.parameter in vllm_compat.TOO_LONG:
                return False
            raise
        if isinstance(result, vllm_compat.ErrorResponse):
            return True  # an error of another kind, which rendering the request itself returns
        return len(result.engine_input["prompt_token_ids"]) <= tokens

    # The reply

    def _generate_with_builtin_tools(
        self, request_id: str, engine_input: Any, sampling_params: Any, context: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if isinstance(context, vllm_compat.SimpleContext):
            sampling_params.output_kind = RequestOutputKind.DELTA
        return super()._generate_with_builtin_tools(request_id, engine_input, sampling_params, context, *args, **kwargs)

    async def responses_full_generator(
        self, request: Any, params: Any, outputs: Any, context: Any, *rest: Any, **more: Any
    ) -> Any:
        """The response. vLLM takes its items from the stream once that has ended."""
        if isinstance(context, vllm_compat.SimpleContext) and context.streamed_output_items is None:
            created, number = 0, _unchanged  # in events only, which are not sent
            outputs = self._process_simple_streaming_events(request, params, outputs, context, *rest, created, number)
        response = await super().responses_full_generator(request, params, outputs, context, *rest, **more)
        if isinstance(context, vllm_compat.SimpleContext) and _finish_reason(context) == "abort":
            response.status = "incomplete"  # vLLM 0.33 takes it for complete, too
        return response

    async def responses_stream_generator(self, *args: Any, **kwargs: Any) -> Events:
        """The stream. Its last event says whether the response is complete, as in vLLM 0.33."""
        async with aclosing(super().responses_stream_generator(*args, **kwargs)) as events:
            async for event in events:
                if event.type == "response.completed" and event.response.status == "incomplete":
                    yield IncompleteEvent(
                        type="response.incomplete", sequence_number=event.sequence_number, response=event.response
                    )
                else:
                    yield event

    async def _process_simple_streaming_events(
        self, request: Any, params: Any, outputs: Any, context: Any, *rest: Any
    ) -> Events:
        """The events of all items. Those of calls, and of the last item, say whether they are complete.

        In vLLM 0.32 every item is complete: https://github.com/vllm-project/vllm/issues/57998
        """
        logprobs = self._logprobs(request, context.response_parser)
        last_item = None  # so far
        ordered = _in_order(outputs, context.response_parser)
        stream = super()._process_simple_streaming_events(request, params, ordered, context, *rest)
        async with aclosing(outputs), aclosing(ordered), aclosing(stream) as events:
            async for event in events:
                if last_item is not None:
                    yield last_item
                    last_item = None
                if logprobs is not None:
                    logprobs.complete(event, context._accumulated_token_ids, context._accumulated_logprobs)
                if event.type == "response.output_item.done":
                    last_item = event
                    if event.item.type == "function_call":  # whether it can be carried out
                        event.item.status = "completed" if is_complete(event.item.arguments) else "incomplete"
                else:
                    yield event
        if last_item is not None:
            if last_item.item.type in ("reasoning", "message"):
                cut = _was_cut(last_item.item, _finish_reason(context), context.response_parser)
                last_item.item.status = "incomplete" if cut else "completed"
            yield last_item

    def _logprobs(self, request: Any, parser: Any) -> ResponseLogprobs | None:
        if not (request.is_include_output_logprobs() and isinstance(parser, ThinkingParser)):
            return None
        tokenizer = self.renderer.get_tokenizer()
        hidden = () if request.keeps_special_tokens else Vocabulary.of(tokenizer).special
        describe = partial(self._create_response_logprobs, tokenizer=tokenizer, top_logprobs=request.top_logprobs)
        wrappers = parser.reasoning_parser.answer_wrappers
        return ResponseLogprobs(parser.content_tokens(), hidden, wrappers, describe)


async def _in_order(outputs: AsyncGenerator[Any, None], parser: Any) -> AsyncGenerator[Any, None]:
    """The contexts, again for each piece of an output whose text thinks after it has begun to answer.

    Of what came at once, which is much where the server is busy, vLLM makes one item of thinking and then one of the
    rest.
    """
    async for context in outputs:
        output = context.last_output
        texts = [] if output is None or not output.outputs else [output.outputs[0].text]
        if texts and isinstance(parser, ThinkingParser):
            texts = parser.reasoning_parser.pieces(texts[0])
        if len(texts) < 2:
            yield context
            continue
        for place, text in enumerate(texts):
            context.last_output = _piece(output, text, is_first=place == 0, is_last=place == len(texts) - 1)
            yield context


def _piece(output: Any, text: str, *, is_first: bool, is_last: bool) -> Any:
    """An output with a part of its text. All tokens come with the first one, and the end with the last one."""
    (whole,) = output.outputs
    ids, logprobs = (whole.token_ids, whole.logprobs) if is_first else ((), [])
    reason = whole.finish_reason if is_last else None
    piece = copy(output)
    piece.outputs = [replace(whole, text=text, token_ids=ids, logprobs=logprobs, finish_reason=reason)]
    return piece


def _finish_reason(context: Any) -> str | None:
    """Why the reply has ended."""
    return None if context.last_output is None else context.last_output.outputs[0].finish_reason


def _was_cut(item: Any, finish_reason: str | None, parser: Any) -> bool:
    """Whether the reply ended in its last item, a text, by its limit or the end of the server, and not after it."""
    if finish_reason not in ("length", "abort"):
        return False
    return item.type == "message" or not isinstance(parser, ThinkingParser) or parser.phase is Phase.THINKING


def _unchanged(event: Any) -> Any:
    return event
