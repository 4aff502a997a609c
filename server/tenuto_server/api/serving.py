"""vLLM's serving objects as they serve here."""

from starlette.datastructures import State

from ..reasoning.thinking_parser import with_thinking
from ..vllm_compat import CheckedChat, make_chat, make_messages, make_responses
from .anthropic import ThinkingMessages
from .thinking_responses import ThinkingResponses
from .tool_grammar import with_object_arguments


def adapt_serving(state: State) -> None:
    """Put ours in the place of what vLLM put into the application's state, and have all split text with our parser."""
    renderer = state.online_renderer  # it makes the grammars of all endpoints
    if renderer.parser is not None:
        renderer.parser = with_object_arguments(renderer.parser)
    state.openai_serving_chat = make_chat(CheckedChat, state)
    state.anthropic_serving_messages = make_messages(ThinkingMessages, state)
    state.openai_serving_responses = make_responses(ThinkingResponses, state)
    for chat in (state.openai_serving_chat, state.openai_serving_chat_batch, state.anthropic_serving_messages):
        if chat.parser_cls is not None:
            chat.parser_cls = with_thinking(chat.parser_cls)
    responses = state.openai_serving_responses
    if responses.parser is not None:
        responses.parser = with_thinking(responses.parser)
