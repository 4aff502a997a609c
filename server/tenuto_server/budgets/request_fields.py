"""What a request asks for, whatever it calls it: our fields, other servers' names for the cap, and an effort.

Every name for the cap means exactly `max_thinking_tokens`; `docs/budgets.md` lists them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self

from tenuto_decoding.budget import FIELDS, LONGEST_SLIP, MAX_TOKENS, ThinkingBudget, check_names, resembled_field
from tenuto_decoding.errors import InvalidBudget

#: Values of `max_thinking_tokens` beside a number: what leaves room for the answer; no cap, whatever the defaults say.
AUTO, UNLIMITED = "auto", "unlimited"

CAP, RESERVE, EFFORT = "max_thinking_tokens", "answer_reserve_tokens", "reasoning_effort"

#: The values of `reasoning_effort` in OpenAI's API, from the least to the most.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

#: Where other servers' clients put the cap: those of vLLM and TensorRT-LLM; of Anthropic and gateways; of NIM and
#: Dynamo; of DashScope and FastDeploy; of llama.cpp; of templates; of OpenRouter.
CAP_PATHS: tuple[tuple[str, ...], ...] = (
    ("thinking_token_budget",),
    ("thinking", "budget_tokens"),
    ("nvext", CAP),
    ("thinking_budget",),
    ("thinking_budget_tokens",),
    ("chat_template_kwargs", "thinking_budget"),
    ("reasoning", "max_tokens"),
)
_TOP_LEVEL = frozenset(path[0] for path in CAP_PATHS if len(path) == 1)
#: Where a boolean says whether to think at all: for DashScope and for OpenRouter.
_SWITCHES: tuple[tuple[str, ...], ...] = (("enable_thinking",), ("reasoning", "enabled"))
_NESTED = ("thinking", "nvext", "chat_template_kwargs", "reasoning", "custom_params")
#: Where an effort is nested: in the Responses API and for OpenRouter; in Anthropic's Messages.
_EFFORT_PLACES = ("reasoning", "output_config")
#: Objects among a request's fields. Wrong types of others are for the request's own type to refuse.
_OBJECTS = ("nvext", "reasoning", "chat_template_kwargs", "output_config")
#: Where vLLM takes further arguments of a request, ours too.
_XARGS = "vllm_xargs"
#: Fields that one object of a request may have. Each unknown name is compared with ours.
MAX_FIELDS = 256
_THINKING_TYPES = ("enabled", "disabled", "adaptive", "auto")

# ApiKeys of `SamplingParams.extra_args` for what is no field of a budget.
_CAP_NAME, _MODEL = "thinking_cap_name", "thinking_model"
OWN_KEYS = frozenset({*FIELDS, RESERVE, EFFORT, _CAP_NAME, _MODEL})

#: Every name in a body that may ask for something, or for whose value there is something to check.
_ASKING = frozenset(
    {*FIELDS, RESERVE, EFFORT, *(path[0] for path in (*CAP_PATHS, *_SWITCHES))}.union(
        _NESTED, _EFFORT_PLACES, _OBJECTS, [_XARGS]
    )
)


@dataclass(frozen=True, slots=True)
class BudgetRequest:
    """The wishes of one request.

    Attributes:
        fields: budget fields that were given; the cap is a number, `auto` or `unlimited`.
        cap_name: the name under which the cap was given.
        effort: `reasoning_effort`.
        reserve: tokens to be left for the answer.
        model: the name of the model that was asked.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    cap_name: str = CAP
    effort: str | None = None
    reserve: int | None = None
    model: str | None = None

    @property
    def named_wishes(self) -> list[str]:
        """The names of what was asked for."""
        others = {EFFORT: self.effort, RESERVE: self.reserve}
        return [*self.fields, *(name for name, value in others.items() if value is not None)]

    @classmethod
    def of_body(cls, body: Mapping[str, Any]) -> Self:
        """Read the body of a request, as it came.

        Raises:
            InvalidBudget: for wrong values, for two caps that differ, and for names that look like a slip.
        """
        _check_names(body)
        model = _text_or_none(body.get("model"))
        if _ASKING.isdisjoint(body):  # as in most requests
            return cls(model=model)
        _check_objects(body)
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
        return cls(fields, name, _effort(body), reserve, model)

    def to_extra_args(self) -> dict[str, Any]:
        """The entries of `SamplingParams.extra_args` that carry the wishes to the engine's door; empty without any."""
        entries = {
            **self.fields,
            _CAP_NAME: self.cap_name if self.cap_name != CAP else None,
            EFFORT: self.effort,
            RESERVE: self.reserve,
            _MODEL: self.model,
        }
        return {name: value for name, value in entries.items() if value is not None}

    @classmethod
    def of_extra_args(cls, entries: Mapping[str, Any], native_cap: int | None = None) -> Self:
        """Read the entries back; a request that did not come through our schema may have brought its own.

        Args:
            entries: also those of others, which are left alone.
            native_cap: vLLM's `thinking_token_budget`, which counts where no cap of ours is given.

        Raises:
            InvalidBudget: as for a body.
        """
        check_names(name for name in entries if name not in OWN_KEYS)
        fields = {name: entries[name] for name in FIELDS if entries.get(name) is not None}
        name = entries.get(_CAP_NAME, CAP)
        if native_cap is not None and CAP not in fields:
            name, fields = "thinking_token_budget", {**fields, CAP: native_cap}
        if fields:
            _check_fields(fields)
        return cls(fields, name, entries.get(EFFORT), entries.get(RESERVE), entries.get(_MODEL))


def _check_names(body: Mapping[str, Any]) -> None:
    _check_number("body", body)
    for name in body:
        meant = _meant(name) if len(name) <= LONGEST_SLIP else None
        if meant is not None:
            raise InvalidBudget(name, f"is not a field; did you mean {meant}?")
    if "extra_body" in body:
        raise InvalidBudget(
            "extra_body", "is an argument of the openai SDK, no field: what is in it belongs into the body itself"
        )


@lru_cache(maxsize=4096)
def _meant(name: str) -> str | None:
    """The field that an unknown name in a body was probably meant for, or None."""
    if name in _TOP_LEVEL:
        return None
    other = _OTHER_SLIPS.get(name.lower().replace("_", "").replace("-", ""))
    return resembled_field(name) if other in (None, name) else other


def _check_number(name: str, part: Mapping[str, Any]) -> None:
    if len(part) > MAX_FIELDS:
        raise InvalidBudget(name, f"has {len(part)} fields; at most {MAX_FIELDS} are taken")


def _check_objects(body: Mapping[str, Any]) -> None:
    """Check the objects among the fields that may ask for something: that they are objects, and their names."""
    for outer in (_XARGS, *_NESTED):
        if isinstance(body.get(outer), Mapping):
            _check_number(outer, body[outer])
    for outer in _OBJECTS:
        if isinstance(body.get(outer), str | int | float | list):
            raise InvalidBudget(outer, f"{_show(body[outer])} is not an object")
    for outer in _NESTED:
        inner = body.get(outer)
        for name in inner if isinstance(inner, Mapping) else ():
            meant = name if name in FIELDS and name != "scope" else resembled_field(str(name))
            if meant is not None and (outer, name) not in CAP_PATHS:
                raise InvalidBudget(f"{outer}.{name}", f"is not a field; did you mean {meant}, beside {outer}?")


def _with_xargs(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with the wishes among vLLM's further arguments, which mean the same there."""
    given = body.get(_XARGS)
    if not isinstance(given, Mapping):
        return body
    check_names(name for name in given if name not in OWN_KEYS)
    wishes = {name: value for name, value in given.items() if name in OWN_KEYS and value is not None}
    for name, value in wishes.items():
        if name in (_CAP_NAME, _MODEL):
            raise InvalidBudget(f"{_XARGS}.{name}", "is not for requests to say")
        if body.get(name) not in (None, value):
            raise InvalidBudget(f"{_XARGS}.{name}", f"{_show(value)} differs from {name}, which is {_show(body[name])}")
    return {**body, **wishes}


_OTHER_SLIPS = {
    "reasoningeffort": EFFORT,
    "reasoningefforts": EFFORT,
    "thinkingeffort": EFFORT,
    "answerreservetokens": RESERVE,
    "answerreserve": RESERVE,
    "answerreservetoken": RESERVE,
}


def _other_caps(body: Mapping[str, Any]) -> Iterator[tuple[str, int | str]]:
    """Every cap under another name than ours: the name, dotted where it is nested, and the cap it stands for."""
    kind = _thinking_type(body)
    if kind == "disabled":
        yield "thinking.type", 0
    for path in _SWITCHES:
        value = _at(body, path)
        if value is not None and not isinstance(value, bool):
            raise InvalidBudget(".".join(path), f"{_show(value)} is neither true nor false")
        if value is False:
            yield ".".join(path), 0
    for path in CAP_PATHS:
        value = _at(body, path)
        if value is not None:
            yield ".".join(path), _cap(".".join(path), value)


def _at(body: Mapping[str, Any], path: tuple[str, ...]) -> object:
    """What stands at a path of one or two names; None where nothing does."""
    value = body.get(path[0])
    if len(path) == 2:
        value = value.get(path[1]) if isinstance(value, Mapping) else None
    return value


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
    """A number under another name; -1 is what vLLM and llama.cpp say for no cap."""
    if value == -1 and not isinstance(value, (bool, float)):
        return UNLIMITED
    _check_count(name, value)
    assert isinstance(value, int)
    return value


def _check_fields(fields: Mapping[str, Any]) -> None:
    """Check what can be checked before prompt and defaults are known; until then, any cap stands for a cap."""
    cap = fields.get(CAP)
    open_ended = cap is None or cap in (AUTO, UNLIMITED) if isinstance(cap, str | None) else False
    if cap == UNLIMITED and fields.get("landing_tokens"):
        raise InvalidBudget("landing_tokens", f"{fields['landing_tokens']} needs a cap to land before; it is unlimited")
    ThinkingBudget(**{**fields, CAP: MAX_TOKENS} if open_ended else fields)


def _check_count(name: str, value: Any) -> None:
    try:
        ThinkingBudget(max_thinking_tokens=value)
    except InvalidBudget as error:
        raise InvalidBudget(name, error.reason) from error


def _effort(body: Mapping[str, Any]) -> str | None:
    """`reasoning_effort`, or the `effort` of the APIs that nest it."""
    given = {EFFORT: body.get(EFFORT)}
    for outer in _EFFORT_PLACES:
        inner = body.get(outer)
        given[f"{outer}.effort"] = inner.get("effort") if isinstance(inner, Mapping) else None
    name, effort = EFFORT, None
    for other, value in given.items():
        if value is not None and value not in EFFORTS:
            raise InvalidBudget(other, f"{_show(value)} is not one of {', '.join(EFFORTS)}")
        if effort is not None and value not in (None, effort):
            raise InvalidBudget(other, f"{_show(value)} differs from {name}, which is {_show(effort)}")
        name, effort = (name, effort) if value is None else (other, value)
    return effort


def _text_or_none(value: object) -> str | None:
    """A value that is no text is refused by the request's own type."""
    return value if isinstance(value, str) else None


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
