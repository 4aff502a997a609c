"""Thinking budgets with the `openai` SDK, which this module neither needs nor imports.

completion = client.chat.completions.create(..., extra_body=tenuto.openai.extra_body(max_thinking_tokens=512))
print(tenuto.openai.report(completion.choices[0]))
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tenuto.parsing import checked, parse_thinking
from tenuto.replies import ThinkingReport

#: The name of the report in a choice, and in its message or delta: the SDK's stream helper keeps only the second.
IN_CHOICE, IN_MESSAGE = "thinking", "thinking_report"


def extra_body(
    *,
    max_thinking_tokens: int | Literal["auto", "unlimited"] | None = None,
    min_thinking_tokens: int | None = None,
    num_waits: int | None = None,
    wait_text: str | Sequence[str] | None = None,
    cap_text: str | None = None,
    landing_tokens: int | None = None,
    loop_tokens: int | None = None,
    scope: Literal["response", "block"] | None = None,
    answer_reserve_tokens: int | None = None,
) -> dict[str, Any]:
    """Return the fields of a budget as the SDK's `extra_body`. What is None is not sent."""
    return {name: value for name, value in locals().items() if value is not None}


def report(choice: Any) -> ThinkingReport | None:
    """Return the report of one of the SDK's choices, whole or the last of a stream; None if it has none.

    It takes the choice of a completion, of a chunk, and of the completion that `client.chat.completions.stream()`
    collects, as an object of the SDK or as a dict. Raises `InvalidReply` for a report of another shape.
    """
    inner = _member(choice, "message") or _member(choice, "delta")
    found = _member(choice, IN_CHOICE) or _member(inner, IN_MESSAGE)
    return None if found is None else checked(parse_thinking, {IN_CHOICE: found})


def reasoning(message: Any) -> str:
    """Return the thinking in one of the SDK's messages or deltas; empty if it has none."""
    return _member(message, "reasoning") or _member(message, "reasoning_content") or ""


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
