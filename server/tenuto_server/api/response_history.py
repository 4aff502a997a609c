"""The forms of history that clients of the Responses API send, completed to what vLLM's types require.

The SDKs' types for input leave out what those for output have: an assistant's message without `type`, `id` or `status`,
its text without `annotations`. Codex, opencode, the AI SDK and LiteLLM send them so. Values of wrong types are left for
the request's own check.
"""

import uuid
from typing import Any

#: Parts of an assistant's message; without one of them, a list of parts is left as it is.
_OF_ASSISTANT = frozenset({"output_text", "refusal", "text"})
_TEXTS = frozenset({"input_text", "output_text", "text"})


def complete_item(item: Any) -> Any:
    """An item of `input` with what its type requires and clients leave out."""
    if not isinstance(item, dict):
        return item
    kind = item.get("type")
    if kind == "reasoning":
        return {**item, "id": item.get("id") or _id("rs"), "summary": item.get("summary") or []}
    is_message = kind in (None, "message") and item.get("role") == "assistant"
    return _complete_message(item) if is_message and isinstance(item.get("content"), list) else item


def _complete_message(item: dict[str, Any]) -> dict[str, Any]:
    parts = item["content"]
    if not any(isinstance(part, dict) and _is_in(part.get("type"), _OF_ASSISTANT) for part in parts):
        return item
    given = {name: value for name, value in item.items() if value is not None}
    return {
        "id": _id("msg"),
        "status": "completed",
        "type": "message",
        **given,
        "content": [_complete_part(part) for part in parts],
    }


def _complete_part(part: Any) -> Any:
    if not isinstance(part, dict) or not _is_in(part.get("type"), _TEXTS):
        return part
    return {**part, "type": "output_text", "annotations": part.get("annotations") or []}


def _is_in(value: Any, words: frozenset[str]) -> bool:
    return isinstance(value, str) and value in words


def _id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"
