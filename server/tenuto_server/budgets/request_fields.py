"""What a request asks for, under any of its names: our fields, other servers' names for the cap, and an effort.

`other_names` has the names of other servers. Every name for the cap means exactly `max_thinking_tokens`.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Self

from tenuto_decoding.budget import FIELDS, MAX_TOKENS, ThinkingBudget, check_names, resembled_field
from tenuto_decoding.errors import InvalidBudget

from .other_names import (
    CAP_PATHS,
    RELEVANT,
    TEMPLATE,
    check_objects,
    check_top_level,
    efforts,
    other_caps,
    switched_off,
    switched_on,
    template_variables,
)

#: Values of `max_thinking_tokens` other than a number: what leaves room for the answer; no cap, despite any default.
AUTO, UNLIMITED = "auto", "unlimited"

CAP, FLOOR, WAITS, LANDING = "max_thinking_tokens", "min_thinking_tokens", "num_waits", "landing_tokens"
RESERVE, EFFORT = "answer_reserve_tokens", "reasoning_effort"

#: The values of `reasoning_effort` in OpenAI's API, from the least to the most.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

#: Objects in which a misspelt name of ours is refused with the right one.
_NESTED = ("thinking", "nvext", TEMPLATE, "reasoning", "custom_params", "logits_processors_args", "sampling_params")
#: Fields that must be objects. Wrong types of other fields are left to the request's own type.
_OBJECTS = ("nvext", "reasoning", TEMPLATE, "output_config")
#: Where vLLM takes further arguments of a request, ours too.
_XARGS = "vllm_xargs"
#: Fields that one object of a request may have. Each unknown name is compared with ours.
MAX_FIELDS = 256
_THINKING_TYPES = ("enabled", "disabled", "adaptive", "auto")

#: Key of `SamplingParams.extra_args` under which the parsed request travels from its endpoint to the engine's entrance,
#: within one process. Nothing that a client sends can be under it: it is set last.
BUDGET_REQUEST = "tenuto_budget_request"

#: Budget names that a client may send in `vllm_xargs`.
BUDGET_NAMES = frozenset({*FIELDS, RESERVE, EFFORT})

#: Every name in a body that may be part of a budget, or whose value has to be checked for one.
_RELEVANT = frozenset({*BUDGET_NAMES, *RELEVANT, _XARGS})


class PromptSource(Enum):
    """Where a request's prompt comes from, which decides whether defaults apply to it."""

    TEMPLATE = auto()  # messages: it is a chat
    CLIENT = auto()  # text or ids: a chat if its tokens show one
    ENGINE = auto()  # a step of a beam search: no default applies


@dataclass(frozen=True, slots=True)
class BudgetRequest:
    """What one request asks for. Made once, when the body is parsed, and passed on unchanged.

    Attributes:
        fields: budget fields that were given; the cap is a number, `auto` or `unlimited`.
        cap_name: the name under which the cap was given.
        effort: `reasoning_effort`.
        reserve: tokens to be left for the answer.
        model: the requested model's name.
        source: of the prompt.
        switched_off: the variable of the chat template that turns thinking off, if the request sets one.
        switched_on: the variables of the chat template that turn thinking on, of those that the request sets.
        variables: of the chat template, that speak of thinking and that this server does not know.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    cap_name: str = CAP
    effort: str | None = None
    reserve: int | None = None
    model: str | None = None
    source: PromptSource = PromptSource.TEMPLATE
    switched_off: str | None = None
    switched_on: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()

    @property
    def turns_on(self) -> tuple[str, ...]:
        """The variables that turn thinking on, with the one that vLLM sets for an effort."""
        return self.switched_on if self.effort in (None, "none") else (*self.switched_on, "enable_thinking")

    @property
    def given_names(self) -> list[str]:
        """The names of everything that was given."""
        others = {EFFORT: self.effort, RESERVE: self.reserve}
        return [*self.fields, *(name for name, value in others.items() if value is not None)]

    @classmethod
    def from_extra_args(cls, entries: Mapping[str, Any] | None) -> Self:
        """The request that was put under `BUDGET_REQUEST`; an empty one for vLLM's own requests, such as a search's."""
        return (entries or {}).get(BUDGET_REQUEST) or cls(source=PromptSource.ENGINE)

    @classmethod
    def from_body(
        cls, body: Mapping[str, Any], source: PromptSource = PromptSource.TEMPLATE, known: Container[str] = ()
    ) -> Self:
        """Read the body of a request, as it came.

        Args:
            known: the fields of the request's own type.

        Raises:
            InvalidBudget: for wrong values, for two caps that differ, for names that look misspelt, and for names that
                speak of thinking and are not understood.
        """
        _check_names(body)
        check_top_level(body, known)
        model = body.get("model")
        model = model if isinstance(model, str) else None  # other types are left to the request's own type
        if _RELEVANT.isdisjoint(body):
            return cls(model=model, source=source)
        _check_objects(body)
        check_objects(body, known)
        body = _with_xargs(body)
        fields = {name: body[name] for name in FIELDS if body.get(name) is not None}
        name, cap = CAP, fields.get(CAP)
        for other, value in _other_caps(body):
            if cap is not None and value != cap:
                raise InvalidBudget(other, f"{_show(value)} differs from {name}, which is {_show(cap)}; give one cap")
            name, cap = (name, cap) if cap is not None else (other, value)
        if cap is not None:
            fields[CAP] = cap
        _check_fields(fields)
        reserve = body.get(RESERVE)
        if reserve is not None:
            _check_count(RESERVE, reserve)
        return cls(
            fields=fields,
            cap_name=name,
            effort=_effort(body),
            reserve=reserve,
            model=model,
            source=source,
            switched_off=switched_off(body),
            switched_on=switched_on(body),
            variables=template_variables(body),
        )


def _check_names(body: Mapping[str, Any]) -> None:
    _check_size("body", body)
    for name in body:
        meant = _meant(name)
        if meant is not None:
            raise InvalidBudget(name, f"is not a field; did you mean {meant}?")
    if "extra_body" in body:
        raise InvalidBudget(
            "extra_body", "is an argument of the openai SDK, not a field: put its content into the body itself"
        )


def _meant(name: str) -> str | None:
    """The field that an unknown name in a body was probably meant for, or None."""
    if (name,) in CAP_PATHS:
        return None
    other = _OTHER_SLIPS.get(name.lower().replace("_", "").replace("-", ""))
    return resembled_field(name) if other in (None, name) else other


def _check_size(name: str, part: Mapping[str, Any]) -> None:
    if len(part) > MAX_FIELDS:
        raise InvalidBudget(name, f"has {len(part)} fields; at most {MAX_FIELDS} are accepted")


def _check_objects(body: Mapping[str, Any]) -> None:
    """Check the objects that may hold a part of a budget: their types, and the names in them."""
    for outer in (_XARGS, *_NESTED):
        if isinstance(body.get(outer), Mapping):
            _check_size(outer, body[outer])
    for outer in _OBJECTS:
        if isinstance(body.get(outer), str | int | float | list):
            raise InvalidBudget(outer, f"{_show(body[outer])} is not an object")
    for outer in _NESTED:
        inner = body.get(outer)
        for name, value in inner.items() if isinstance(inner, Mapping) else ():
            meant = name if name in FIELDS and name != "scope" else resembled_field(str(name))
            if meant is not None and value is not None and (outer, name) not in CAP_PATHS:
                raise InvalidBudget(f"{outer}.{name}", f"is not a field; did you mean {meant}, outside of {outer}?")


def _with_xargs(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with the budget fields among vLLM's further arguments, where they mean the same."""
    given = body.get(_XARGS)
    if not isinstance(given, Mapping):
        return body
    check_names(name for name in given if name not in BUDGET_NAMES)
    fields = {name: value for name, value in given.items() if name in BUDGET_NAMES and value is not None}
    for name, value in fields.items():
        if body.get(name) not in (None, value):
            raise InvalidBudget(f"{_XARGS}.{name}", f"{_show(value)} differs from {name}, which is {_show(body[name])}")
    return {**body, **fields}


_OTHER_SLIPS = {
    "reasoningeffort": EFFORT,
    "reasoningefforts": EFFORT,
    "thinkingeffort": EFFORT,
    "answerreservetokens": RESERVE,
    "answerreserve": RESERVE,
    "answerreservetoken": RESERVE,
}


def _other_caps(body: Mapping[str, Any]) -> Iterator[tuple[str, int | str]]:
    """Every cap under a name that is not ours: the name, dotted where it is nested, and the cap that it means."""
    if _thinking_type(body) == "disabled":
        yield "thinking.type", 0
    for path, value in other_caps(body):
        yield ".".join(path), _cap(".".join(path), value)


def _thinking_type(body: Mapping[str, Any]) -> str | None:
    thinking = body.get("thinking")
    if thinking is None:
        return None
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    if kind not in _THINKING_TYPES:
        shown = f"thinking.type: {_show(kind)}" if isinstance(thinking, Mapping) else _show(thinking)
        raise InvalidBudget(
            "thinking", f"{shown} is not understood; it is an object whose type is one of {', '.join(_THINKING_TYPES)}"
        )
    return str(kind)


def _cap(name: str, value: object) -> int | str:
    """A number under another name; -1 is what vLLM and llama.cpp use for no cap."""
    if value == -1 and not isinstance(value, (bool, float)):
        return UNLIMITED
    _check_count(name, value)
    assert isinstance(value, int)
    return value


def _check_fields(fields: Mapping[str, Any]) -> None:
    """Check what can be checked before prompt and defaults are known; a cap that is no number counts as any number."""
    cap = fields.get(CAP)
    is_open = cap is None or cap in (AUTO, UNLIMITED) if isinstance(cap, str | None) else False
    if cap == UNLIMITED and fields.get(LANDING):
        raise InvalidBudget(LANDING, f"{fields[LANDING]} needs a cap to land before; it is unlimited")
    ThinkingBudget(**{**fields, CAP: MAX_TOKENS} if is_open else fields)


def _check_count(name: str, value: Any) -> None:
    try:
        ThinkingBudget(max_thinking_tokens=value)
    except InvalidBudget as error:
        raise InvalidBudget(name, error.reason) from error


def _effort(body: Mapping[str, Any]) -> str | None:
    """`reasoning_effort`, under whichever name it was given."""
    name, effort = EFFORT, None
    for path, value in efforts(body):
        other = ".".join(path)
        if value not in EFFORTS:
            raise InvalidBudget(other, f"{_show(value)} is not one of {', '.join(EFFORTS)}")
        if effort not in (None, value):
            raise InvalidBudget(other, f"{_show(value)} differs from {name}, which is {_show(effort)}")
        name, effort = other, str(value)
    return effort


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
