"""Finds out how a model marks its thinking: from its tokenizer, its chat template, its name and its configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .errors import UnknownMarkers
from .families import FAMILIES
from .markers import ThinkingMarkers, Tokenizer

# Families whose markers are tokens of the vocabulary or words of the chat template, the most specific first.
_BY_EVIDENCE = ("seed", "minimax", "magistral", "cohere", "gpt-oss", "think", "granite")


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
    """The markers that a model shows.

    Args:
        name: repository name or path of the model.
        config_family: the entry `tenuto_thinking_family` of the model's config.json.

    Raises:
        UnknownMarkers: when nothing fits; the message says what can be given instead.
    """
    if config_family is not None:
        return Detection(markers=_named(config_family), evidence=("the model's configuration names the family",))
    vocabulary = tokenizer.get_vocab()
    template = chat_template or ""
    for family in _BY_EVIDENCE:
        markers = FAMILIES[family]
        if _shows(markers, vocabulary, template):
            return Detection(markers=markers, evidence=("both markers are in the vocabulary or in the chat template",))
    if "<|im_start|>" in vocabulary and "<|im_start|>" in template:
        return Detection(markers=FAMILIES["s1"], evidence=("the chat template is ChatML without thinking markers",))
    raise UnknownMarkers(
        "neither the vocabulary nor the chat template shows how this model marks its thinking; "
        f"name a family ({', '.join(FAMILIES)}) or give the start and end markers"
    )


def detect_markers(tokenizer: Tokenizer, chat_template: str | None) -> ThinkingMarkers:
    """The markers that tokenizer and chat template show. Raises UnknownMarkers."""
    return detect(tokenizer, chat_template).markers


def resolve_markers(
    tokenizer: Tokenizer,
    chat_template: str | None,
    *,
    name: str = "",
    config_family: str | None = None,
    family: str | None = None,
    start: str | None = None,
    end: str | None = None,
    **given: Any,
) -> ThinkingMarkers:
    """The markers to use: given ones, else the named family's, else the detected family's.

    Args:
        given: other fields of `ThinkingMarkers`, in place of the family's; None for those that are not given.

    Raises:
        UnknownMarkers: for an unknown family, for one marker given without the other, or when detection fails.
    """
    if (start is None) != (end is None) or start == "" or end == "":
        raise UnknownMarkers(f"start marker {start!r} and end marker {end!r}: give both, neither of them empty")
    named = None if family is None or (start is not None and family not in FAMILIES) else _named(family)
    if start is not None and end is not None:
        markers = ThinkingMarkers(family=family or "custom", start=start, end=end, stops=_every_stop())
    elif named is not None:
        markers = named
    else:
        markers = detect(tokenizer, chat_template, name=name, config_family=config_family).markers
    return replace(markers, **{field: value for field, value in given.items() if value is not None})


def _named(family: str) -> ThinkingMarkers:
    if family not in FAMILIES:
        raise UnknownMarkers(f"{family!r} is not a family of thinking markers; known are {', '.join(FAMILIES)}")
    return FAMILIES[family]


def _shows(markers: ThinkingMarkers, vocabulary: Mapping[str, int], template: str) -> bool:
    if markers.family == "gpt-oss":
        return "<|channel|>" in vocabulary and "analysis" in template
    pair = (markers.start, markers.end)
    return all(text in vocabulary for text in pair) or all(text in template for text in pair)


def _every_stop() -> tuple[str, ...]:
    return tuple(dict.fromkeys(stop for markers in FAMILIES.values() for stop in markers.stops))
