"""The JSON body of a chat request. Its fields are listed only here."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Body = Mapping[str, Any]
Message = Mapping[str, Any]

#: The fields that only Tenuto knows. Other servers ignore them without an error.
BUDGET_FIELDS = (
    "max_thinking_tokens",
    "min_thinking_tokens",
    "num_waits",
    "wait_text",
    "cap_text",
    "landing_tokens",
    "loop_tokens",
    "scope",
    "answer_reserve_tokens",
)


def budget_fields(body: Body) -> list[str]:
    """Return the names of the fields of a budget that the body sets."""
    return [name for name in BUDGET_FIELDS if name in body]


def chat_body(
    messages: str | Sequence[Message],
    model: str | None = None,
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
    reasoning_effort: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    n: int | None = None,
    seed: int | None = None,
    **extra: Any,
) -> Body:
    """Build the JSON body of a chat completion. Arguments that are None are not sent: the server's defaults apply.

    A plain string as `messages` is one user message. `extra` takes every other field that the server accepts
    (`top_p`, `stop`, `tools`, `response_format`, ...).
    """
    if "stream" in extra:
        raise TypeError("stream= is not a parameter: call stream() instead of chat()")
    body = {
        "messages": [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages),
        "model": model,
        "max_thinking_tokens": max_thinking_tokens,
        "min_thinking_tokens": min_thinking_tokens,
        "num_waits": num_waits,
        "wait_text": wait_text,
        "cap_text": cap_text,
        "landing_tokens": landing_tokens,
        "loop_tokens": loop_tokens,
        "scope": scope,
        "answer_reserve_tokens": answer_reserve_tokens,
        "reasoning_effort": reasoning_effort,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "n": n,
        "seed": seed,
        **extra,
    }
    return {name: value for name, value in body.items() if value is not None}
