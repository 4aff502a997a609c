"""Finds out how a model marks its thinking: from its tokenizer, its chat template, its name and its configuration."""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import tags
from .beginnings import after, closes, header_of, opens, start_in
from .chat_templates import Beginning, ChatTemplate
from .errors import UnknownMarkers
from .families import FAMILIES, SIGNS, TOOL_OPENERS, VARIANTS
from .marker_fields import read_fields
from .markers import ThinkingMarkers, Tokenizer
from .template_facts import ends_on_a_line, off_switch, opens_on_its_own, thinks_by_name, turn_of

#: Entry of a model's config.json that names its family.
CONFIG_ENTRY = "tenuto_thinking_family"

# The models of simplescaling/s1 have the chat template of Qwen2.5: only their name shows their format.
_S1_NAME = re.compile(r"s1(\.1)?-\d+(\.\d+)?B\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """The markers of a model, and what shows them.

    Attributes:
        evidence: sentences.
        prompt: a prompt of one user message, rendered with the template's defaults; None without a template.
        off_prompt: the same rendered with `markers.off_switch`; None where there is no switch.
    """

    markers: ThinkingMarkers
    evidence: tuple[str, ...]
    prompt: str | None = None
    off_prompt: str | None = None


def detect(
    tokenizer: Tokenizer, chat_template: str | None, *, name: str = "", config_family: str | None = None
) -> Detection:
    """The markers that a model shows, and what its template does with them.

    The evidence in order: the configuration; how the template begins a reply, with its defaults and with what switches
    thinking off or on; the markers that it names; the model's name; the markers in the vocabulary.

    Args:
        name: repository name or path of the model; empty for the tokenizer's.
        config_family: the entry `tenuto_thinking_family` of the model's config.json; None to look for the file where
            the name is a folder.

    Raises:
        UnknownMarkers: when nothing fits; the message says what can be given instead.
    """
    template = ChatTemplate(tokenizer, chat_template or "")
    name = name or str(getattr(tokenizer, "name_or_path", None) or "")
    config_family = config_family or _entry(name)
    if config_family is not None:
        found, sentence = _named(config_family), f"the model's configuration names the family {config_family}"
    else:
        found, sentence = _found(template, tokenizer.get_vocab(), _last(name))
    return _described(found, template, tokenizer, _last(name), sentence)


def detect_markers(tokenizer: Tokenizer, chat_template: str | None) -> ThinkingMarkers:
    """The markers that tokenizer and chat template show. Raises UnknownMarkers."""
    return detect(tokenizer, chat_template).markers


def resolve_markers(
    tokenizer: Tokenizer, chat_template: str | None, *, name: str = "", config_family: str | None = None, **given: Any
) -> ThinkingMarkers:
    """The markers to use: `resolve` without the evidence."""
    return resolve(tokenizer, chat_template, name=name, config_family=config_family, **given).markers


def resolve(
    tokenizer: Tokenizer,
    chat_template: str | None,
    *,
    name: str = "",
    config_family: str | None = None,
    family: str | None = None,
    start: str | None = None,
    end: str | None = None,
    **given: Any,
) -> Detection:
    """The markers to use: given ones, else the named family's, else the detected family's.

    Args:
        given: other fields of `ThinkingMarkers`, which replace what the family and the template say; None and lists as
            `read_fields` takes them.

    Raises:
        UnknownMarkers: for an unknown family, one marker without the other, a wrong field, or when detection fails.
    """
    if (start is None) != (end is None) or start == "" or end == "":
        raise UnknownMarkers(f"start marker {start!r} and end marker {end!r}: give both, neither of them empty")
    template = ChatTemplate(tokenizer, chat_template or "")
    last = _last(name or str(getattr(tokenizer, "name_or_path", None) or ""))
    if start is not None and end is not None:
        custom = ThinkingMarkers(family=family or "custom", start=start, end=end, stops=_every_stop())
        found = _described(custom, template, tokenizer, last, "the markers are given")
    elif family is not None:
        found = _described(_named(family), template, tokenizer, last, f"the family {family} is given")
    else:
        found = detect(tokenizer, chat_template, name=name, config_family=config_family)
    return replace(found, markers=replace(found.markers, **read_fields(given)))


_Found = tuple[ThinkingMarkers, str]


def _found(template: ChatTemplate, vocabulary: Mapping[str, int], name: str) -> _Found:
    """The markers that the evidence shows, and a sentence about it."""
    found = _by_prompt(template, vocabulary) or _by_words(template, vocabulary)
    if found is None and _S1_NAME.match(name) and "<|im_start|>" in vocabulary:
        return FAMILIES["s1"], f"{name} is a model of simplescaling/s1"
    found = found or _by_tokens(template, vocabulary)
    if found is None:
        raise UnknownMarkers(
            "neither the chat template nor the vocabulary shows how this model marks its thinking, and its name is not "
            f"known: pass --thinking-family ({', '.join(FAMILIES)}), or --thinking-start-marker and "
            "--thinking-end-marker; a model in the format of s1 can say so in its config.json: "
            f'"{CONFIG_ENTRY}": "s1"'
        )
    markers, sentence = found
    return _variant(markers, template.text, vocabulary), sentence


def _by_prompt(template: ChatTemplate, vocabulary: Mapping[str, int]) -> _Found | None:
    """What the beginning of a reply shows."""
    default, text = template.default, template.text
    if default is not None and (markers := _opened_in(default, text, vocabulary)):
        return markers, f"the prompt of a chat opens thinking with {start_in(markers, default.tail)!r}"
    for (variable, value), switched in (*template.off, *template.on):
        if markers := _opened_in(switched, text, vocabulary) or _closed_in(switched):
            done = "opens" if opens(markers, switched) else "closes"
            return markers, f"with {variable}={value!r} the prompt {done} thinking"
    for each in (*template.off_by_words, *([default] if default else [])):
        if markers := _closed_in(each):
            return markers, "the prompt of a chat closes thinking"
    return None


def _by_words(template: ChatTemplate, vocabulary: Mapping[str, int]) -> _Found | None:
    """What the template names, for instance to remove the thinking of earlier turns."""
    words = f"{template.text}{template.default.prompt if template.default else ''}"
    for markers in _by_sign():
        signs = SIGNS.get(markers.family, (markers.end,))
        if all(sign in words or sign in vocabulary for sign in signs) and any(sign in words for sign in signs):
            return markers, f"the chat template names {signs[-1]!r}"
    return None


def _by_tokens(template: ChatTemplate, vocabulary: Mapping[str, int]) -> _Found | None:
    """What the vocabulary has, and pairs of tags that no family has."""
    for markers in _by_sign():
        signs = SIGNS.get(markers.family, (markers.start, markers.end))
        if all(sign in vocabulary for sign in signs):
            return markers, f"{' and '.join(map(repr, signs))} are in the vocabulary"
    if tagged := tags.named_by(template.text):
        return tagged, f"the chat template names {tagged.start!r} and {tagged.end!r}"
    if tagged := tags.among(vocabulary):
        return tagged, f"{tagged.start!r} and {tagged.end!r} are in the vocabulary"
    return None


def _described(
    markers: ThinkingMarkers, template: ChatTemplate, tokenizer: Tokenizer, name: str, sentence: str
) -> Detection:
    """The markers with what the template shows in addition: its form without thinking, the switch for it, and so on."""
    evidence = [sentence]
    markers = replace(markers, also_ends=_openers(markers, template, tokenizer.get_vocab()))
    default = template.default
    if default is None:
        evidence.append("no chat template could be rendered")
        markers = replace(markers, opens=markers.opens or thinks_by_name(name) or None)
        return Detection(markers=markers, evidence=tuple(evidence))
    header = header_of(markers, default)
    switch = off_switch(markers, template, default)
    off = None if switch is None else template.beginning(dict([switch]))
    forms = (off, default) if off else template.off_by_words
    form = next((each for each in forms if closes(markers, each)), off)
    if form is not None and (written := after(header, form.tail)):
        markers = replace(markers, no_thinking=written)
        evidence.append(f"without thinking a reply begins with {written!r}")
    if switch is not None:
        markers = replace(markers, off_switch=(switch,))
        evidence.append(f"{switch[0]}={switch[1]!r} switches thinking off")
    if ends_on_a_line(markers, template) and not markers.newline_before_end:
        markers = replace(markers, newline_before_end=True, cap_text=markers.cap_text.lstrip("\n"))
    thinks, why = opens_on_its_own(markers, template, default, switch, name)
    markers = replace(markers, opens=thinks, turn=turn_of(header, tokenizer))
    return Detection(
        markers=markers,
        evidence=(*evidence, *([why] if why else [])),
        prompt=default.prompt,
        off_prompt=None if off is None else off.prompt,
    )


# Families.


def _opened_in(reply: Beginning, text: str, vocabulary: Mapping[str, int]) -> ThinkingMarkers | None:
    """The family that a prompt opens thinking of: the one with the longest marker."""
    found = [markers for markers in FAMILIES.values() if markers.family not in VARIANTS.values()]
    found = [markers for markers in found if opens(markers, reply)]
    if found:
        return max(found, key=lambda markers: len(start_in(markers, reply.tail) or ""))
    return tags.opened_by(reply.tail, text, vocabulary)


def _closed_in(reply: Beginning) -> ThinkingMarkers | None:
    """The family that a prompt closes thinking of, where its end marker has no other use."""
    distinct = [markers for name, markers in FAMILIES.items() if name not in SIGNS and name not in VARIANTS.values()]
    found = [markers for markers in distinct if closes(markers, reply)]
    return max(found, key=lambda markers: len(markers.end)) if found else tags.closed_by(reply.tail)


def _variant(markers: ThinkingMarkers, text: str, vocabulary: Mapping[str, int]) -> ThinkingMarkers:
    """The family of `<think>` that writes its answer in tags, where the template or the vocabulary has them."""
    if markers.family == "think" and "<minimax:tool_call>" not in text:  # whose tool results are in <response>
        for sign, family in VARIANTS.items():
            if sign in text or sign in vocabulary:
                return FAMILIES[family]
    return markers


def _by_sign() -> Iterable[ThinkingMarkers]:
    """Families in the order in which they are looked for: those of `<think>` last, since others may name it too."""
    known = [markers for markers in FAMILIES.values() if markers.family not in ("s1", *VARIANTS.values())]
    return sorted(known, key=lambda markers: markers.family == "think")


def _openers(markers: ThinkingMarkers, template: ChatTemplate, vocabulary: Mapping[str, int]) -> tuple[str, ...]:
    """The family's tool openers and the known ones that this model has; of `<think>`'s own only those."""
    shown = [text for text in TOOL_OPENERS if text in vocabulary or text in template.text or text in template.with_tool]
    shared = markers.start == "<think>" and bool(shown)
    own = [text for text in markers.also_ends if text in shown or text not in TOOL_OPENERS or not shared]
    return tuple(dict.fromkeys([*own, *(shown if markers.family != "s1" else [])]))


def _named(family: str) -> ThinkingMarkers:
    if family not in FAMILIES:
        raise UnknownMarkers(f"{family!r} is not a family of thinking markers; known are {', '.join(FAMILIES)}")
    return FAMILIES[family]


def _last(name: str) -> str:
    """The last component of a repository name or a path; in the cache of Hugging Face, the repository's."""
    cached = re.search(r"models--[^/]+?--([^/]+)", name)
    return cached[1] if cached else name.rstrip("/").rpartition("/")[2]


def _entry(name: str) -> str | None:
    """The family that the config.json in a model's folder names."""
    with suppress(OSError, ValueError):
        config = json.loads((Path(name) / "config.json").read_text()) if name else {}
        family = config.get(CONFIG_ENTRY)
        return family if isinstance(family, str) else None
    return None


def _every_stop() -> tuple[str, ...]:
    return tuple(dict.fromkeys(stop for markers in FAMILIES.values() for stop in markers.stops))
