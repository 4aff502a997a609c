"""The markers with which model families open and close their thinking, and the detection of a model's family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .errors import UnknownMarkers


class Tokenizer(Protocol):
    """The part of a tokenizer that we use: what Hugging Face's and vLLM's tokenizers share."""

    @property
    def all_special_ids(self) -> list[int]: ...
    @property
    def eos_token_id(self) -> int | None: ...
    def get_vocab(self) -> dict[str, int]: ...
    def encode(self, text: str, add_special_tokens: bool = ...) -> list[int]: ...
    def decode(self, token_ids: Sequence[int]) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingMarkers:
    """The texts by which one model family delimits its thinking.

    Attributes:
        family: the registry's name for it.
        start: text that opens thinking.
        end: text that closes it.
        start_spellings, end_spellings: other texts that the model may write in place of `start` and `end`.
        also_ends: other texts by which the model leaves thinking, such as a tool-call opener; of any number of tokens.
        stops: tokens that end the reply, in addition to the tokenizer's own end-of-sequence token.
        inside: control tokens that the model writes while it thinks; in a prompt they separate no turns.
        turn: texts that begin a reply in a prompt, for chat templates that delimit turns by ordinary text.
        wait_text: default replacements of an attempt to stop, used in turn.
        cap_text: default text before the end marker when the cap closes the thinking.
        newline_before_end: whether a forced end marker begins a new line.
        answer_prefix: text forced after the end marker when the cap closed the thinking.
        answer_wrappers: texts around the answer that are no part of it, such as `<response>`; left out of the content.
        no_thinking: what the chat template writes at the beginning of a reply in place of thinking, such as
            `<think>\n\n</think>\n\n`; empty where it has no such form.
        off_switch: the template's variables that make it write `no_thinking`, as pairs of name and value.
        force_start: the model does not open its thinking reliably: a budget opens it.
        opens: whether the model opens its thinking on its own after a prompt that has not; None where nothing shows it.
        shared_start: the first token of `start` opens other things too: only its second can be kept from appearing.
    """

    family: str
    start: str
    end: str
    start_spellings: tuple[str, ...] = ()
    end_spellings: tuple[str, ...] = ()
    also_ends: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    turn: tuple[str, ...] = ()
    wait_text: tuple[str, ...] = ("Wait",)
    cap_text: str = "\nMy thinking budget is used up, so I answer with what I have.\n"
    newline_before_end: bool = False
    answer_prefix: str = ""
    answer_wrappers: tuple[str, ...] = ()
    no_thinking: str = ""
    off_switch: tuple[tuple[str, str | int | bool], ...] = ()
    force_start: bool = False
    opens: bool | None = None
    shared_start: bool = False


_TOOL_OPENERS = ("<tool_call>", "<|tool_call|>", "<|tool_calls_section_begin|>", "<｜tool▁calls▁begin｜>")

#: Families by name. `s1` is the format of simplescaling/s1 (paper appendix D; its code, data/tokenization.py); the
#: others are the markers of the reasoning parsers that vLLM 0.32 ships.
FAMILIES: Mapping[str, ThinkingMarkers] = {
    markers.family: markers
    for markers in (
        ThinkingMarkers(
            family="s1",
            start="<|im_start|>think",
            end="<|im_start|>answer",
            stops=("<|im_end|>", "<|endoftext|>"),
            cap_text="",
            newline_before_end=True,
            answer_prefix="\nFinal Answer:",
            force_start=True,
        ),
        ThinkingMarkers(
            family="think",
            start="<think>",
            end="</think>",
            also_ends=_TOOL_OPENERS,
            stops=("<|im_end|>", "<|endoftext|>", "<｜end▁of▁sentence｜>"),
        ),
        ThinkingMarkers(family="magistral", start="[THINK]", end="[/THINK]", also_ends=("[TOOL_CALLS]",)),
        ThinkingMarkers(family="seed", start="<seed:think>", end="</seed:think>", also_ends=("<seed:tool_call>",)),
        ThinkingMarkers(family="minimax", start="<mm:think>", end="</mm:think>"),
        ThinkingMarkers(
            family="cohere",
            start="<|START_THINKING|>",
            end="<|END_THINKING|>",
            also_ends=("<|START_ACTION|>",),
            stops=("<|END_OF_TURN_TOKEN|>",),
        ),
        ThinkingMarkers(
            family="gpt-oss",
            start="<|channel|>analysis<|message|>",
            end="<|end|>",
            stops=("<|return|>", "<|endoftext|>"),
            # Closing the message alone lets the model open another analysis: the final channel's header must follow.
            answer_prefix="<|start|>assistant<|channel|>final<|message|>",
            shared_start=True,
        ),
        ThinkingMarkers(
            family="granite",
            start="Here is my thought process:",
            end="Here is my response:",
            stops=("<|end_of_text|>",),
        ),
    )
}

# Families whose markers are tokens of the vocabulary or words of the chat template, the most specific first.
_BY_EVIDENCE = ("seed", "minimax", "magistral", "cohere", "gpt-oss", "think", "granite")


def detect_markers(tokenizer: Tokenizer, chat_template: str | None) -> ThinkingMarkers:
    """The family that tokenizer and chat template show.

    A family is recognised by its markers in the vocabulary or in the template. A ChatML template (`<|im_start|>`) that
    has no thinking markers is taken for `s1`, whose markers are ordinary words after ChatML's own token.

    Raises:
        UnknownMarkers: when nothing fits; the message lists the families that can be named instead.
    """
    vocabulary = tokenizer.get_vocab()
    template = chat_template or ""
    for family in _BY_EVIDENCE:
        markers = FAMILIES[family]
        if _shows(markers, vocabulary, template):
            return markers
    if "<|im_start|>" in vocabulary and "<|im_start|>" in template:
        return FAMILIES["s1"]
    raise UnknownMarkers(
        "neither the vocabulary nor the chat template shows how this model marks its thinking; "
        f"name a family ({', '.join(FAMILIES)}) or give the start and end markers"
    )


def resolve_markers(
    tokenizer: Tokenizer,
    chat_template: str | None,
    family: str | None = None,
    start: str | None = None,
    end: str | None = None,
) -> ThinkingMarkers:
    """The markers to use: given ones, else the named family's, else the detected family's.

    Raises:
        UnknownMarkers: for an unknown family, for one marker given without the other, or when detection fails.
    """
    if (start is None) != (end is None) or start == "" or end == "":
        raise UnknownMarkers(f"start marker {start!r} and end marker {end!r}: give both, neither of them empty")
    if family is not None and family not in FAMILIES:
        raise UnknownMarkers(f"{family!r} is not a family of thinking markers; known are {', '.join(FAMILIES)}")
    if start is not None and end is not None:
        return ThinkingMarkers(family=family or "custom", start=start, end=end, stops=_every_stop())
    return FAMILIES[family] if family is not None else detect_markers(tokenizer, chat_template)


def _shows(markers: ThinkingMarkers, vocabulary: Mapping[str, int], template: str) -> bool:
    if markers.family == "gpt-oss":
        return "<|channel|>" in vocabulary and "analysis" in template
    pair = (markers.start, markers.end)
    return all(text in vocabulary for text in pair) or all(text in template for text in pair)


def _every_stop() -> tuple[str, ...]:
    return tuple(dict.fromkeys(stop for markers in FAMILIES.values() for stop in markers.stops))
