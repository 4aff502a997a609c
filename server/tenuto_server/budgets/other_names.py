"""How other servers' requests speak of thinking: what each name means here, and which are refused.

Nothing that a request says about thinking is dropped: it is honoured, or it is an error that says what to send.
`docs/budgets.md` lists what is honoured.
"""

import re
from collections.abc import Container, Iterator, Mapping
from itertools import product
from typing import Any

from tenuto_decoding.errors import InvalidBudget

Path = tuple[str, ...]

#: Where Gemini's thinking configuration is: in its own API, and where its OpenAI-compatible one takes it.
_GEMINI: tuple[Path, ...] = (
    ("thinking_config",),
    ("thinkingConfig",),
    ("google", "thinking_config"),
    ("generationConfig", "thinkingConfig"),
    ("generation_config", "thinking_config"),
)

#: Where other servers' clients put the cap: those of vLLM and TensorRT-LLM; of Anthropic and gateways; of Cohere; of
#: NIM and Dynamo; of DashScope; of llama.cpp; of templates; of OpenRouter; of SGLang; of FastDeploy; of Gemini.
CAP_PATHS: tuple[Path, ...] = (
    ("thinking_token_budget",),
    ("thinking", "budget_tokens"),
    ("thinking", "token_budget"),
    ("nvext", "max_thinking_tokens"),
    ("thinking_budget",),
    ("thinking_budget_tokens",),
    ("chat_template_kwargs", "thinking_budget"),
    ("reasoning", "max_tokens"),
    ("custom_params", "thinking_budget"),
    ("sampling_params", "custom_params", "thinking_budget"),
    ("logits_processors_args", "thinking_budget"),
    *((*path, name) for path, name in product(_GEMINI, ("thinking_budget", "thinkingBudget"))),
)

#: Where a boolean turns thinking on or off: for DashScope, for OpenRouter, for Ollama.
SWITCHES: tuple[Path, ...] = (("enable_thinking",), ("reasoning", "enabled"), ("think",))

#: Where an effort is: in Chat Completions; the Responses API and OpenRouter; Anthropic's Messages; Ollama;
#: Gemini.
EFFORT_PATHS: tuple[Path, ...] = (
    ("reasoning_effort",),
    ("reasoning", "effort"),
    ("output_config", "effort"),
    ("think",),
    ("thinking_level",),
    *((*path, name) for path, name in product(_GEMINI, ("thinking_level", "thinkingLevel"))),
)

#: Variables by which chat templates turn thinking on or off.
TEMPLATE = "chat_template_kwargs"
TEMPLATE_SWITCHES: tuple[Path, ...] = ((TEMPLATE, "enable_thinking"), (TEMPLATE, "thinking"))

_APART = "thinking is always returned apart from the answer"
_LEAVE_OUT = "to leave it out of a chat completion or a response, send include_reasoning: false"

#: What concerns only how thinking is shown: the values that say what this server does, and a hint for the others. No
#: values where all are accepted.
_DISPLAY: Mapping[Path, tuple[tuple[object, ...], str]] = {
    ("include_reasoning",): ((True,), "this endpoint always returns the thinking"),
    ("separate_reasoning",): ((True,), _APART),
    ("reasoning_split",): ((True,), _APART),
    ("stream_reasoning",): ((True,), "thinking is streamed as it is generated"),
    ("reasoning_format",): (("parsed", "auto", "deepseek"), f"{_APART}; {_LEAVE_OUT}"),
    ("prompt_mode",): (("reasoning",), "for an answer without thinking, send max_thinking_tokens: 0"),
    ("reasoning", "exclude"): ((False,), _LEAVE_OUT),
    ("reasoning", "mode"): (("standard",), "for longer thinking, send reasoning_effort"),
    **{
        (*path, name): ((True,), _LEAVE_OUT) for path, name in product(_GEMINI, ("include_thoughts", "includeThoughts"))
    },
    ("reasoning", "summary"): ((), ""),
    ("reasoning", "generate_summary"): ((), ""),
    ("reasoning", "context"): ((), ""),
    ("thinking", "display"): ((), ""),
}

#: What this server does not offer, and what to send instead.
_REFUSED: Mapping[Path, str] = {
    ("output_config", "task_budget"): "send max_tokens for the whole reply, and max_thinking_tokens for its thinking",
    ("output_format",): "send output_config.format on /v1/messages, response_format on /v1/chat/completions, "
    "text.format on /v1/responses",
    ("thinking", "clear_thinking"): f"a chat template that knows it takes it in {TEMPLATE}",
}

_OUR_OWN = (("max_thinking_tokens",), ("min_thinking_tokens",))
_UNDERSTOOD = frozenset(
    {*_OUR_OWN, *CAP_PATHS, *SWITCHES, *EFFORT_PATHS, *TEMPLATE_SWITCHES, *_DISPLAY, ("thinking", "type")}
)
#: Objects that are about nothing but thinking, so that every name in them has to be understood.
_ABOUT_THINKING = frozenset({("thinking",), ("reasoning",), *_GEMINI})
#: Other objects in which other servers take fields; names in them that are not about thinking are not ours to judge.
_CONTAINERS = frozenset(
    (
        *("nvext", "custom_params", "sampling_params", "logits_processors_args", "output_config"),
        *(
            "chat_template_args",
            "google",
            "generationConfig",
            "generation_config",
            "options",
            "parameters",
            "model_kwargs",
            "extra",
        ),
        *("provider_options", "providerOptions"),
        *("additional_model_request_fields", "additionalModelRequestFields"),
    )
)
_INNER = frozenset(path[:size] for path in _UNDERSTOOD for size in range(1, len(path)))
_OUTERMOST = frozenset(path[0] for path in _UNDERSTOOD)
_DEPTH = 4
_ABOUT = re.compile("think|reason|thought", re.IGNORECASE)
_HINT = "for a cap on thinking send max_thinking_tokens (0: no thinking), for an effort reasoning_effort"

#: Every name at the top level of a body that these tables are about.
RELEVANT = _OUTERMOST | _CONTAINERS | {TEMPLATE, *(path[0] for path in _REFUSED)}


def at(body: Mapping[str, Any], path: Path) -> Any:
    """The value at a path; None where there is none."""
    value: Any = body
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def check_top_level(body: Mapping[str, Any], known: Container[str]) -> None:
    """Refuse names that speak of thinking and are not understood.

    Args:
        known: the fields of the request's own type.

    Raises:
        InvalidBudget: naming the field, with what to send.
    """
    for name, value in body.items():
        if value is not None and _ABOUT.search(name) and name not in _OUTERMOST and name not in known:
            raise InvalidBudget(name, f"is not understood; {_HINT}")


def check_objects(body: Mapping[str, Any], known: Container[str]) -> None:
    """The same for names in objects, and refuse what is understood and not offered.

    Raises:
        InvalidBudget: naming the field, dotted where it is nested, with what to send.
    """
    for path, hint in _REFUSED.items():
        if at(body, path) is not None:
            raise InvalidBudget(".".join(path), f"is not supported; {hint}")
    for path, (values, hint) in _DISPLAY.items():
        value = at(body, path)
        is_field = len(path) == 1 and path[0] in known
        if value is None or not values or is_field:
            continue
        if not any(type(value) is type(accepted) and value == accepted for accepted in values):
            raise InvalidBudget(".".join(path), f"{_show(value)} is not supported; {hint}")
    for name in body:
        if name in _CONTAINERS or (name,) in _ABOUT_THINKING:
            _check_object((name,), body[name])


def _check_object(path: Path, value: object) -> None:
    if path in _ABOUT_THINKING and path != ("thinking",) and value is not None and not isinstance(value, Mapping):
        raise InvalidBudget(".".join(path), f"{_show(value)} is not an object")
    if not isinstance(value, Mapping) or len(path) > _DEPTH:
        return
    for name, inner in value.items():
        here = (*path, str(name))
        if inner is None or here in _UNDERSTOOD:
            continue
        is_inner = here in _INNER
        if not is_inner and (path in _ABOUT_THINKING or _ABOUT.search(here[-1])):
            raise InvalidBudget(".".join(here), f"is not understood; {_HINT}")
        _check_object(here, inner)


def other_caps(body: Mapping[str, Any]) -> Iterator[tuple[Path, object]]:
    """Every cap under a name that is not ours: its path, and its value as it came."""
    for path in SWITCHES:
        value = at(body, path)
        if value is None or (path in EFFORT_PATHS and isinstance(value, str)):
            continue
        if not isinstance(value, bool):
            also = " nor an effort" if path in EFFORT_PATHS else ""
            raise InvalidBudget(".".join(path), f"{_show(value)} is neither true nor false{also}")
        if value is False:
            yield path, 0
    for path in CAP_PATHS:
        value = at(body, path)
        if value is not None:
            yield path, value


def efforts(body: Mapping[str, Any]) -> Iterator[tuple[Path, object]]:
    """Every effort: its path, and its value as it came."""
    for path in EFFORT_PATHS:
        value = at(body, path)
        if value is not None and not (path in SWITCHES and isinstance(value, bool)):
            yield path, value


def switched_off(body: Mapping[str, Any]) -> str | None:
    """The path of the template's variable that turns thinking off, if one does. Raises InvalidBudget."""
    off = None
    for path in TEMPLATE_SWITCHES:
        value = at(body, path)
        if value is not None and not isinstance(value, bool):
            raise InvalidBudget(".".join(path), f"{_show(value)} is neither true nor false")
        if value is False:
            off = off or ".".join(path)
    return off


def switched_on(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the template's variables that turn thinking on."""
    return tuple(path[-1] for path in TEMPLATE_SWITCHES if at(body, path) is True)


def template_variables(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Other variables of the template that speak of thinking: whether it knows them is seen when it is known."""
    given = body.get(TEMPLATE)
    if not isinstance(given, Mapping):
        return ()
    return tuple(
        name
        for name, value in given.items()
        if value is not None and (TEMPLATE, name) not in _UNDERSTOOD and _ABOUT.search(str(name))
    )


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
