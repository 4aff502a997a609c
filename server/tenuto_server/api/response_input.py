"""The conversation of a request to `/v1/responses`, as vLLM converts it without losing anything.

vLLM makes chat messages of the items of `input`. Of an assistant's message it takes the first part, of a reasoning item
the first part too, it puts reasoning that follows an answer before it, and drops the reasoning that ends the input
where the chat template does not write it.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from vllm.exceptions import VLLMError, VLLMValidationError

from tenuto_decoding.errors import ThinkingError

from ..errors import InvalidRequest, ServingError
from .checked_body import describe
from .prefill import Prefill

logger = logging.getLogger("vllm.tenuto")

_MAX_REASON = 400
_UNFINISHED = ("in_progress", "incomplete")
#: Roles whose messages stay where the beginning of a conversation is dropped.
_INSTRUCTIONS = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns of a request.

    Attributes:
        items: in a form in which vLLM converts each of them whole.
        prefill: what the last items have said of the reply; None where they belong to an earlier turn.
    """

    items: Sequence[Any]
    prefill: Prefill | None = None

    def for_vllm(self) -> list[Any]:
        """The items for one conversion, which changes them."""
        return [dict(item) if isinstance(item, dict) else item for item in self.items]

    @property
    def questions(self) -> list[int]:
        """The places of the user's messages, at which exchanges begin."""
        return [place for place, item in enumerate(self.items) if _get(item, "role") == "user"]

    def since(self, place: int) -> "Conversation":
        """The conversation from a place on. Instructions stay, wherever they are."""
        kept = [item for item in self.items[:place] if _get(item, "role") in _INSTRUCTIONS]
        return Conversation([*kept, *self.items[place:]], self.prefill)


def read_input(given: str | Sequence[Any]) -> Conversation:
    """The conversation of a request's `input`, as its request type has parsed it.

    Raises:
        InvalidRequest: for what is kept elsewhere, or cannot be put into a prompt.
    """
    if isinstance(given, str):
        return Conversation([{"role": "user", "content": given}])
    items = _rejoined(given)
    prefill, count = _prefill(items)
    return Conversation([new for item in items[: len(items) - count] for new in _converted(item)], prefill)


def refusal_of_input(error: Exception, request: BaseModel) -> Exception:
    """The error for what is raised while the conversation becomes a prompt. It names a field of the request.

    vLLM and chat templates name what the item turns into: a part of a chat message, a number of tokens, or nothing.
    """
    if isinstance(error, VLLMValidationError):
        is_named = error.parameter in type(request).model_fields
        return error if is_named else _refused(str(error.args[0])[:_MAX_REASON])
    if isinstance(error, (ServingError, ThinkingError, VLLMError)):
        return error
    if isinstance(error, ValidationError):
        return _refused(": ".join(describe(error.errors(include_url=False))))
    if not isinstance(error, ValueError):
        logger.warning("The input of a response could not be put into a prompt", exc_info=True)
    return _refused(f"cannot be put into a prompt: {str(error)[:_MAX_REASON]}")


def _rejoined(items: Sequence[Any]) -> list[Any]:
    """The items, those of one kind joined again that are one text which was cut and went on in another response."""
    runs: list[list[Any]] = []
    for item in items:
        if runs and _went_on(runs[-1][-1], item):
            runs[-1].append(item)
        else:
            runs.append([item])
    return [run[0] if len(run) == 1 else _joined(run) for run in runs]


def _went_on(before: Any, item: Any) -> bool:
    same = (_is_reasoning(before) and _is_reasoning(item)) or (_is_answer(before) and _is_answer(item))
    return same and _get(before, "status") in _UNFINISHED


def _joined(run: Sequence[Any]) -> dict[str, Any]:
    status = _get(run[-1], "status")
    if _is_reasoning(run[0]):
        return {"type": "reasoning", "content": [{"text": "".join(map(_thinking, run))}], "status": status}
    return {"role": "assistant", "content": "".join(map(_answer, run)), "status": status}


def _prefill(items: Sequence[Any]) -> tuple[Prefill | None, int]:
    """What the last items have said of the reply, and how many they are.

    The thinking of a reasoning item goes on unless its status says that it is complete: then the answer follows. A
    message goes on only where its status says that it is not complete. Otherwise a new turn begins, as in a chat.
    """
    if not items:
        return None, 0
    last = items[-1]
    if _is_reasoning(last):
        return Prefill(thinking=_thinking(last), answer="" if _get(last, "status") == "completed" else None), 1
    if _get(last, "status") not in _UNFINISHED:
        return None, 0
    if _is_answer(last):
        thinking = _thinking(items[-2]) if len(items) > 1 and _is_reasoning(items[-2]) else None
        return Prefill(thinking=thinking, answer=_answer(last)), 1 if thinking is None else 2
    if _get(last, "type") in ("function_call", "custom_tool_call"):
        raise _refused("the last item is a call that was cut off, which cannot go on: leave it out")
    return None, 0


def _converted(item: Any) -> Iterator[Any]:
    if _get(item, "type") == "item_reference" or (_get(item, "type") is None and _get(item, "role") is None):
        raise _refused("this server stores nothing, so it has no item to refer to: send the item itself")
    if _is_reasoning(item):
        # vLLM passes on a message without content as it is, and adds the content that follows.
        if thinking := _thinking(item):
            yield {"role": "assistant", "reasoning": thinking}
    elif _is_answer(item):
        yield {"role": "assistant", "content": _answer(item)}
    else:
        yield item


def _is_reasoning(item: Any) -> bool:
    return bool(_get(item, "type") == "reasoning")


def _is_answer(item: Any) -> bool:
    return _get(item, "role") == "assistant" and _get(item, "type") in (None, "message")


def _thinking(item: Any) -> str:
    """The text of a reasoning item: its content, else its summary."""
    for parts, between in ((_get(item, "content"), "\n"), (_get(item, "summary"), "\n\n")):
        if parts:
            return between.join(_get(part, "text") or "" for part in parts)
    if _get(item, "encrypted_content"):
        raise _refused("encrypted reasoning cannot be read here: send the reasoning's `content`")
    return ""


def _answer(item: Any) -> str:
    """The text of an assistant's message. Several parts are joined as a chat joins them."""
    content = _get(item, "content")
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(map(_text, content))


def _text(part: Any) -> str:
    for name in ("text", "refusal"):
        if isinstance(text := _get(part, name), str):
            return text
    raise _refused(f"a part of type {_get(part, 'type')!r} in a message of the assistant is not supported: send text")


def _get(item: Any, name: str) -> Any:
    """A field of a parsed item, which is a dictionary or a model."""
    return item.get(name) if isinstance(item, dict) else getattr(item, name, None)


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest("input", reason)
