"""The budget that a request may set: how long to think at most and at least, and how often to go on."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal, Self, get_args

from .errors import InvalidBudget

Scope = Literal["response", "block"]
_SCOPES: tuple[Scope, ...] = get_args(Scope)

#: Largest bound and longest text that are accepted; they exceed any context window.
MAX_TOKENS = 2**31 - 1
MAX_WAITS = 1024
#: Fewer tokens than these also repeat in good text.
MIN_LOOP_TOKENS = 8
MAX_TEXT_LENGTH = 1024
MAX_WAIT_TEXTS = 16

#: What control tokens and thinking markers look like. A plan checks again with the tokenizer; this needs none.
_CONTROL = re.compile(r"<[|｜][^<>]*[|｜]>|</?(?:\w+:)?think>|\[/?THINK\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingBudget:
    """Bounds on the thinking of one reply. Validated when made.

    A thinking token is a generated token after the start marker and before the end marker; wait and cap texts count.

    Attributes:
        max_thinking_tokens: hard cap; None for no cap.
        min_thinking_tokens: floor, at most the cap.
        num_waits: that many first attempts to stop are replaced by the wait text, whatever the count (s1 "ignores" the
            end that often: paper section 3.1).
        wait_text: text that replaces an attempt to stop; several are used in turn; "" only suppresses the attempt;
            None for the model family's.
        cap_text: text put before the end marker when the cap (or a loop) closes the thinking, within the cap; left out
            if the cap is shorter than it; None for the model family's.
        landing_tokens: within that many tokens before the cap, close at the first end of a sentence or line.
        loop_tokens: close the thinking when that many last tokens repeat one pattern (of at most a third of them and at
            most 128 tokens), whatever the floor and the waits; 0 for off.
        scope: `response` for one budget over all thinking blocks of the reply, `block` for a fresh one in each.

    Raises:
        InvalidBudget: naming the field, the value and the bound.
    """

    max_thinking_tokens: int | None = None
    min_thinking_tokens: int = 0
    num_waits: int = 0
    wait_text: str | tuple[str, ...] | None = None
    cap_text: str | None = None
    landing_tokens: int = 0
    loop_tokens: int = 0
    scope: Scope = "response"

    def __post_init__(self) -> None:
        if self.max_thinking_tokens is not None:
            _check_count("max_thinking_tokens", self.max_thinking_tokens, MAX_TOKENS)
        _check_count("min_thinking_tokens", self.min_thinking_tokens, MAX_TOKENS)
        _check_count("num_waits", self.num_waits, MAX_WAITS)
        _check_count("landing_tokens", self.landing_tokens, MAX_TOKENS)
        _check_count("loop_tokens", self.loop_tokens, MAX_TOKENS)
        if 0 < self.loop_tokens < MIN_LOOP_TOKENS:
            raise InvalidBudget(
                "loop_tokens",
                f"{self.loop_tokens} tokens may repeat in good text; give at least {MIN_LOOP_TOKENS}, or 0 for off",
            )
        cap = self.max_thinking_tokens
        if cap is not None and self.min_thinking_tokens > cap:
            raise InvalidBudget(
                "min_thinking_tokens", f"{self.min_thinking_tokens} is above max_thinking_tokens, which is {cap}"
            )
        if self.landing_tokens and cap is None:
            raise InvalidBudget(
                "landing_tokens", f"{self.landing_tokens} needs a max_thinking_tokens to land before; none is given"
            )
        if isinstance(self.wait_text, list):
            object.__setattr__(self, "wait_text", tuple(self.wait_text))
        _check_wait_text(self.wait_text)
        if self.cap_text is not None:
            _check_text("cap_text", self.cap_text)
        if self.scope not in _SCOPES:
            raise InvalidBudget("scope", f"{_show(self.scope)} is not one of {', '.join(map(repr, _SCOPES))}")

    @property
    def closes(self) -> bool:
        """Whether thinking may be closed by force."""
        return self.max_thinking_tokens is not None or self.loop_tokens > 0

    @property
    def extends(self) -> bool:
        """Whether an attempt to stop may be replaced by a wait."""
        return self.min_thinking_tokens > 0 or self.num_waits > 0

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self | None:
        """The budget among the entries of a request, such as `SamplingParams.extra_args`; other entries are not ours.

        A value of None means "not given". Returns None if no budget field is given.

        Raises:
            InvalidBudget: also for a key that looks like a misspelt budget field, with the right name.
        """
        check_names(mapping)
        return cls.of_checked(mapping)

    @classmethod
    def of_checked(cls, mapping: Mapping[str, Any]) -> Self | None:
        """The same without checking the names again: for use in the engine, after `from_mapping` was called."""
        given = {name: mapping[name] for name in FIELDS if mapping.get(name) is not None}
        return cls(**given) if given else None

    def to_dict(self) -> dict[str, Any]:
        """The fields that are not None, defaults included: what `from_mapping` reads back."""
        return {name: value for name in FIELDS if (value := getattr(self, name)) is not None}


FIELDS: tuple[str, ...] = tuple(field.name for field in fields(ThinkingBudget))


def check_names(names: Iterable[str]) -> None:
    """Refuse names that look like a misspelt budget field (`max_thinking_token`, `minThinkingTokens`).

    Raises:
        InvalidBudget: naming the name and the field that it resembles.
    """
    for name in names:
        meant = resembled_field(name)
        if meant is not None:
            raise InvalidBudget(name, f"is not a field; did you mean {meant}?")


def resembled_field(name: str) -> str | None:
    """The budget field that an unknown name was probably meant for, or None."""
    return _resembled(name) if len(name) <= LONGEST_MISSPELLING else None


@lru_cache(maxsize=4096)
def _resembled(name: str) -> str | None:
    if name in FIELDS:
        return None
    plain = name.lower().replace("_", "").replace("-", "")
    close = difflib.get_close_matches(plain, _PLAIN_FIELDS, n=1, cutoff=0.88)
    return _PLAIN_FIELDS[close[0]] if close else None


#: Longer names are not compared with ours: the comparison costs more the longer they are, and the cache keeps them.
LONGEST_MISSPELLING = 40

_PLAIN_FIELDS = {name.replace("_", ""): name for name in FIELDS if name != "scope"} | {
    "closeloops": "loop_tokens",
    # Names of the two bounds elsewhere.
    "thinkingbudget": "max_thinking_tokens",
    "thinkingbudgettokens": "max_thinking_tokens",
    "thinkingtokenbudget": "max_thinking_tokens",
    "budgettokens": "max_thinking_tokens",
    "reasoningbudget": "max_thinking_tokens",
    "reasoningbudgettokens": "max_thinking_tokens",
    "reasoningmaxtokens": "max_thinking_tokens",
    "maxreasoningtokens": "max_thinking_tokens",
    "minreasoningtokens": "min_thinking_tokens",
}


def _check_count(field: str, value: object, bound: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        hint = f"; did you mean {int(value)}?" if isinstance(value, float) and math.isfinite(value) else ""
        raise InvalidBudget(field, f"{_show(value)} is not a whole number{hint}")
    if not 0 <= value <= bound:
        raise InvalidBudget(field, f"{value} is not between 0 and {bound}")


def _check_wait_text(value: object) -> None:
    if value is None or isinstance(value, str):
        if value is not None:
            _check_text("wait_text", value)
        return
    if not isinstance(value, tuple) or not value:
        raise InvalidBudget("wait_text", f"{_show(value)} is neither a text nor a list of at least one text")
    if len(value) > MAX_WAIT_TEXTS:
        raise InvalidBudget("wait_text", f"has {len(value)} texts; at most {MAX_WAIT_TEXTS} are allowed")
    for text in value:
        _check_text("wait_text", text)


def _check_text(field: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidBudget(field, f"{_show(value)} is not a text")
    if len(value) > MAX_TEXT_LENGTH:
        raise InvalidBudget(field, f"has {len(value)} characters; at most {MAX_TEXT_LENGTH} are allowed")
    if control := _CONTROL.search(value):
        raise InvalidBudget(field, f"holds {control[0]!r}, a control token or marker; only plain text is allowed")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
