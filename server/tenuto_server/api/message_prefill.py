"""What a reply to Anthropic's messages has said already: their last one, if it is the assistant's."""

from collections.abc import Sequence

from vllm.exceptions import VLLMValidationError

from .. import vllm_compat
from .prefill import Prefill


def prefill_of(messages: Sequence[vllm_compat.AnthropicMessage]) -> Prefill | None:
    """From where the reply to these messages goes on; None for a new turn.

    Raises:
        VLLMValidationError: for one that cannot go on.
    """
    if not messages or messages[-1].role != "assistant":
        return None
    content = messages[-1].content
    blocks = [("text", content)] if isinstance(content, str) else [_text_of(block) for block in content]
    if blocks and blocks[-1][0] == "thinking" and any(kind == "text" for kind, _ in blocks):
        raise _cannot_go_on("thinking after text")
    thinking = [text for kind, text in blocks if kind == "thinking"]
    answer = "".join(text for kind, text in blocks if kind == "text")
    if not thinking and not answer:
        return None  # nothing was said
    return Prefill(
        thinking="".join(thinking) if thinking else None,
        answer=answer if answer or any(kind == "text" for kind, _ in blocks) else None,
    )


def _text_of(block: vllm_compat.AnthropicContentBlock) -> tuple[str, str]:
    """(type, text) of a block of a turn that is to go on."""
    if block.type == "text":
        return "text", block.text or ""
    if block.type == "thinking":
        return "thinking", block.thinking or ""
    raise _cannot_go_on(block.type)


def _cannot_go_on(what: str) -> VLLMValidationError:
    fix = "send its tool_result in a message of the user" if what == "tool_use" else "end it with text or with thinking"
    return VLLMValidationError(
        f"messages: the reply goes on from the last message, an assistant's, which cannot hold {what}: {fix}",
        parameter="messages",
    )
