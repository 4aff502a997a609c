"""Requests without tools: an empty list means the same as null or none at all, and no call can be forced."""

from typing import Any

from pydantic import model_validator

from .. import vllm_compat
from ..errors import InvalidRequest

#: Choices that need no tools.
_FREE = (None, "auto", "none")


class CheckedToolChoice(vllm_compat.OpenAIBaseModel):
    """Mixed into a request type with tools."""

    @model_validator(mode="before")
    @classmethod
    def check_tool_choice(cls, data: Any) -> Any:
        """Leave out an empty list of tools and a choice among none."""
        if not isinstance(data, dict) or data.get("tools") not in (None, []):
            return data
        choice = data.get("tool_choice")
        if choice == "required" or (isinstance(choice, dict) and isinstance(choice.get("type"), str)):
            raise no_tools_to_call(choice)
        unused = {"tools", "tool_choice"} if choice in _FREE else {"tools"}
        return {name: value for name, value in data.items() if name not in unused}


def unknown_tool(name: str) -> InvalidRequest:
    """The error for a choice of a tool that the request does not have."""
    return InvalidRequest("tool_choice", f"there is no tool {name[:200]!r} in `tools`")


def no_tools_to_call(choice: Any) -> InvalidRequest:
    """The error for a choice that forces a tool call in a request without tools."""
    shown = str(choice)[:200]
    return InvalidRequest(
        "tools", f"tool_choice {shown} forces a tool call, but there are no tools; give one, or leave tool_choice out"
    )
