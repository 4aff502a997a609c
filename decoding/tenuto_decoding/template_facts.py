"""What a chat template's renderings show about its model, once its markers are known."""

import re
from typing import Any

from .beginnings import closes, ends, opens, starts
from .chat_templates import OFF, THOUGHT, Beginning, ChatTemplate, Value
from .markers import ThinkingMarkers, Tokenizer

# Variables that ask for thinking where the template then writes no marker, but a system message.
_ASKING = ("enable_thinking", "thinking", "enable_reasoning")

_THINKING_NAME = re.compile(r"\b(thinking|thinker|think|reasoning|reasoner|magistral|qwq|r1)\b", re.IGNORECASE)
_INSTRUCT_NAME = re.compile(r"\binstruct\b", re.IGNORECASE)


def off_switch(markers: ThinkingMarkers, template: ChatTemplate, default: Beginning) -> tuple[str, Value] | None:
    """The variable that makes the template close thinking, or not open it.

    Where that is the default, the value that leaves it so, if another value does the opposite.
    """
    if not closes(markers, default):
        for switch, reply in template.off:
            if closes(markers, reply):
                return switch
    if opens(markers, default):
        return next((switch for switch, reply in template.off if not opens(markers, reply)), None)
    for (name, value), reply in template.on:
        if opens(markers, reply):
            return _opposite(markers, template, name)
        if name in _ASKING and value is True and not closes(markers, reply):
            return (name, False)
    return _effort_of_none(template)


def _effort_of_none(template: ChatTemplate) -> tuple[str, Value] | None:
    """An effort of none, which some templates only pass on to the model; those that know it refuse other words."""
    if getattr(template.tokenizer, "IS_MISTRAL_TOKENIZER", False):  # vLLM gives it no variables
        return None
    none, nonsense = ({"reasoning_effort": value} for value in ("none", "nonsense"))
    knows = template.beginning(none) is not None and template.beginning(nonsense) is None
    return ("reasoning_effort", "none") if knows else None


def _opposite(markers: ThinkingMarkers, template: ChatTemplate, name: str) -> tuple[str, Value] | None:
    """The value of a variable that leaves thinking off; of several, one that the template names."""
    values = sorted((value for each, value in OFF if each == name), key=lambda value: str(value) not in template.text)
    for value in (*values, False):
        reply = template.beginning({name: value})
        if reply is not None and not opens(markers, reply):
            return (name, value)
    return None


def ends_on_a_line(markers: ThinkingMarkers, template: ChatTemplate) -> bool | None:
    """Whether the end marker begins a line in what the template writes; None where it writes none."""
    thought = template.history.partition(THOUGHT)[2]
    before, found, _ = (thought if markers.end in thought else markers.no_thinking).partition(markers.end)
    return before.endswith("\n") if found and not before.endswith(starts(markers)) else None


def opens_on_its_own(
    markers: ThinkingMarkers, template: ChatTemplate, default: Beginning, switch: tuple[str, Value] | None, name: str
) -> tuple[bool | None, str]:
    """Whether the model thinks after a prompt that opens none, and a sentence that says why."""
    if opens(markers, default):
        return markers.opens, ""
    if switch is not None and closes(markers, default):
        asked = any(name == switch[0] and opens(markers, reply) for (name, _), reply in template.on)
        return None if asked else True, f"thinking is off by default and has a switch, {switch[0]}"
    if closes(markers, default):
        return markers.opens, ""
    if any(closes(markers, reply) for each, reply in template.off if each == switch):
        return True, "the template closes thinking to switch it off: by default the model opens it on its own"
    if switch is not None and template.beginning(dict([switch])) != default:
        return (
            True,
            f"with {switch[0]}={switch[1]!r} the prompt asks for none: by default the model opens it on its own",
        )
    if switch is not None:
        return False, f"thinking is off by default and has a switch, {switch[0]}"
    if any(closes(markers, reply) for reply in template.off_by_words):
        return True, "a system message switches thinking off: by default the model opens it on its own"
    if markers.opens is None and thinks_by_name(name):
        return True, f"the name {name} says that the model thinks"
    if any(start in default.head for start in starts(markers)):
        return True, "the default system message asks for thinking"
    removed = any(re.search(rf"['\"]\s*{re.escape(end)}\s*['\"]\s*(in\b|\))", template.text) for end in ends(markers))
    if markers.opens is None and removed and not _INSTRUCT_NAME.search(name):
        return True, "the template removes the thinking of earlier turns"
    before, thought, after = template.history.partition(THOUGHT)
    written = bool(thought) and any(start in before for start in starts(markers)) and markers.end in after
    if markers.opens is None and written and not _INSTRUCT_NAME.search(name):
        return True, "the template writes the thinking of a reply"
    return markers.opens, ""


def thinks_by_name(name: str) -> bool:
    """Whether a model's name says that it thinks, as `GLM-4.1V-9B-Thinking` does."""
    return _THINKING_NAME.search(name.replace("_", "-")) is not None


def turn_of(header: str, tokenizer: Tokenizer) -> tuple[str, ...]:
    """The last line of a reply's header where it is ordinary text: no special or added token is in the header."""
    added: dict[int, Any] = getattr(tokenizer, "added_tokens_decoder", {})
    control = {str(getattr(token, "content", token)) for token in added.values()}
    control.update(str(token) for token in getattr(tokenizer, "all_special_tokens", ()))
    text = header.strip().rpartition("\n")[2]
    named = re.search(r"\w", text) is not None
    return (text,) if named and not any(token and token in header for token in control) else ()
