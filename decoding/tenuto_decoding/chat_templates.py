"""Prompts as a model's chat template writes them, to see how a reply begins."""

from collections.abc import Mapping, Sequence
from typing import Any

from .markers import Tokenizer


def render_chat(
    tokenizer: Tokenizer, chat_template: str | None, messages: Sequence[Mapping[str, Any]], **variables: Any
) -> str:
    """The prompt of a reply to these messages, as text.

    The tokenizer's own `apply_chat_template` renders it: Mistral's and DeepSeek's tokenizers in vLLM write chats in
    code, and the others use the sandbox of `transformers`.

    Args:
        chat_template: the template's text; None for the tokenizer's own way.
        variables: of the template, such as `enable_thinking` or `tools`.

    Raises:
        Exception: whatever the template raises, or ValueError where there is nothing to render with.
    """
    conversation = [dict(message) for message in messages]
    variables = {"add_generation_prompt": True, **variables}
    apply = getattr(tokenizer, "apply_chat_template", None)
    if apply is not None:
        given = {} if chat_template is None else {"chat_template": chat_template}
        return str(apply(conversation, tokenize=False, **given, **variables))
    if chat_template is None:
        raise ValueError("the tokenizer writes no chats, and no chat template is given")
    from transformers.utils.chat_template_utils import render_jinja_template  # lazily: the core needs no engine

    rendered, _ = render_jinja_template(conversations=[conversation], chat_template=chat_template, **variables)
    return str(rendered[0])
