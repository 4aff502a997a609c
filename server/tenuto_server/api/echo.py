"""Completions that only echo their prompts (`echo` and `max_tokens: 0`).

vLLM 0.32 generates one token for each choice (https://github.com/vllm-project/vllm/issues/9336), drops its text, and
counts it: for the client, there is none.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pydantic_core import from_json

from .thinking_reports import DONE, to_json_text


def only_echoes(request: Any) -> bool:
    """Whether the request is for the prompts alone."""
    return bool(request.echo) and request.max_tokens == 0


def without_tokens(response: Any) -> None:
    """Take the generated tokens out of a whole response."""
    for choice in response.choices:
        choice.finish_reason, choice.stop_reason = "length", None
        if choice.token_ids is not None:
            choice.token_ids = []
    response.usage.completion_tokens, response.usage.total_tokens = 0, response.usage.prompt_tokens


async def without_tokens_in_chunks(events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """Take the generated tokens out of a stream."""
    async with aclosing(events):
        async for event in events:
            yield event if event == DONE else _without_tokens(event)


def _without_tokens(event: str) -> str:
    chunk = from_json(event.removeprefix("data: "))
    for choice in chunk.get("choices", ()):
        if choice.get("finish_reason") is not None:
            choice["finish_reason"], choice["stop_reason"] = "length", None
        if choice.get("token_ids"):
            choice["token_ids"] = []
    usage = chunk.get("usage")
    if usage:
        usage["completion_tokens"], usage["total_tokens"] = 0, usage["prompt_tokens"]
    return f"data: {to_json_text(chunk)}\n\n"
