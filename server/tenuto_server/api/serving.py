"""vLLM's serving objects as they serve here: they split text where budgets count, and refuse before a stream begins."""

from typing import Any

from starlette.datastructures import State
from vllm.entrypoints.openai.responses.serving import OpenAIServingResponses

from ..reasoning.parser import with_reasoning_content
from .anthropic import ThinkingMessages


class CheckedResponses(OpenAIServingResponses):
    """vLLM's Responses, which asks the engine only when the stream has begun: too late for an error 400."""

    def _generate_with_builtin_tools(
        self, request_id: str, engine_input: Any, sampling_params: Any, *args: Any, **kwargs: Any
    ) -> Any:
        self.engine_client.check(engine_input, sampling_params)
        return super()._generate_with_builtin_tools(request_id, engine_input, sampling_params, *args, **kwargs)


def adapt_serving(state: State) -> None:
    """Change what vLLM has put into the application's state. It makes these objects itself, so their classes change."""
    state.anthropic_serving_messages.__class__ = ThinkingMessages
    state.openai_serving_responses.__class__ = CheckedResponses
    for chat in (state.openai_serving_chat, state.openai_serving_chat_batch, state.anthropic_serving_messages):
        if chat.parser_cls is not None:
            chat.parser_cls = with_reasoning_content(chat.parser_cls)
    responses = state.openai_serving_responses
    if responses.parser is not None:
        responses.parser = with_reasoning_content(responses.parser)
