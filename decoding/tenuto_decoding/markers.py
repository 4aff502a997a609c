"""The markers by which a model delimits its thinking, and the part of a tokenizer that we use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


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
