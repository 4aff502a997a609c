"""The blocks of messages, each with what its type needs.

vLLM's type makes every field of every block optional, and its conversion drops blocks or invents what they lack.
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from .. import vllm_compat

#: What a block of each type must have.
_REQUIRED = {
    "text": ("text",),
    "image": ("source",),
    "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id",),
    "tool_reference": ("tool_name",),
    "thinking": ("thinking",),
    "redacted_thinking": ("data",),
}
#: What the source of an image must have, by its type.
_SOURCES = {"base64": ("media_type", "data"), "url": ("url",)}
#: The blocks that the result of a tool may have.
_IN_RESULTS = ("text", "image", "tool_reference")


class MessageBlock(vllm_compat.AnthropicContentBlock):
    """A block of a message, with everything that its type needs."""

    @model_validator(mode="after")
    def check_complete(self) -> Self:
        """Refuse a block that lacks something, and a result of a tool with such a block in it."""
        _check_complete({name: value for name, value in self if value is not None}, "")
        for number, part in enumerate(self.content if isinstance(self.content, list) else ()):
            _check_part(part, f"content.{number}: ")
        return self


class Message(vllm_compat.AnthropicMessage):
    """A message."""

    content: str | list[MessageBlock]


def _check_part(part: Mapping[str, Any], where: str) -> None:
    kind = part.get("type")
    if kind not in _IN_RESULTS:
        words = ", ".join(_IN_RESULTS)
        raise _error(f"{where}type: {str(kind)[:40]!r} is not one of {words}, which the result of a tool may have")
    named = {"tool_name": part.get("name"), **part} if kind == "tool_reference" else part  # vLLM takes both names
    _check_complete({name: value for name, value in named.items() if value is not None}, where)


def _check_complete(block: Mapping[str, Any], where: str) -> None:
    """Check that a block without nulls has what its type needs. Raises PydanticCustomError."""
    kind = block["type"]
    for name in _REQUIRED.get(kind, ()):
        if name not in block:
            raise _error(f"{where}{'an' if kind == 'image' else 'a'} {kind} block needs {name}")
    text = block.get("text")
    if kind == "text" and not isinstance(text, str):
        raise _error(f"{where}the text of a text block should be a string")
    if kind == "image":
        _check_source(block["source"], where)


def _check_source(source: Any, where: str) -> None:
    kind = source.get("type") if isinstance(source, Mapping) else None
    if kind not in _SOURCES:
        raise _error(f"{where}the source of an image needs a type: one of {', '.join(_SOURCES)}")
    for name in _SOURCES[kind]:
        if not isinstance(source.get(name), str):
            raise _error(f"{where}the source of an image of type {kind} needs {name}, a string")


def _error(reason: str) -> PydanticCustomError:
    return PydanticCustomError("missing", "{reason}", {"reason": reason})
