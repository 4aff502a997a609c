"""Arguments of tool calls as clients can read them: at any time the beginning of one JSON value."""

import math
import sys
from bisect import bisect_left
from typing import Any

from pydantic_core import from_json

#: How the parser says that a text is the beginning of a value.
_UNFINISHED = "EOF while parsing"


class JsonPrefix:
    """Passes text on as long as it is the beginning of one JSON value.

    The SDKs parse arguments while they arrive, and fail at the first character that does not fit. What is passed on
    does not depend on how the text is split.

    Args:
        objects_only: pass on nothing of any other value.

    Attributes:
        text: what was passed on.
    """

    def __init__(self, *, objects_only: bool = False) -> None:
        self.text = ""
        self._objects_only = objects_only
        self._has_ended = False

    def feed(self, text: str) -> str:
        """What of the new text is passed on."""
        if self._objects_only and not self.text:
            text = text.lstrip()  # the SDKs fail at blank text, and it may turn out that no object follows
        if self._has_ended or not text:
            return ""
        size = len(text)
        if not self._fits(self.text + text):
            # Whatever follows a mistake is one too. The search is for the first size with a mistake.
            size = bisect_left(range(1, size + 1), 1, key=lambda end: not self._fits(self.text + text[:end]))
            self._has_ended = True
        self.text += text[:size]
        return text[:size]

    def _fits(self, text: str) -> bool:
        return (text.startswith("{") or not self._objects_only) and is_beginning(text)


def is_beginning(text: str) -> bool:
    """Whether the text is a JSON value, or the beginning of one."""
    try:
        from_json(text)
    except ValueError as error:
        return str(error).startswith(_UNFINISHED)
    return True


def is_complete(text: str) -> bool:
    """Whether the text is a whole JSON value."""
    try:
        from_json(text)
    except ValueError:
        return False
    return True


def read_object(text: str) -> dict[str, Any]:
    """The object that a text begins, without what is cut off, as Anthropic's SDK reads it from a stream.

    {} if the text begins no object. Numbers beyond the range of a double are those at its ends: JSON has no infinity.
    """
    beginning = JsonPrefix(objects_only=True).feed(text)
    found: dict[str, Any] = _finite(from_json(beginning, allow_partial=True)) if beginning else {}
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else math.copysign(sys.float_info.max, value)
