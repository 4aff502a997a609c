"""Reads thinking budgets and markers from vLLM's sampling parameters and configuration.

Shared by the adapters of both model runners and by the server.
"""

from typing import Any

from vllm import SamplingParams
from vllm.config import ModelConfig, VllmConfig

from .budget import ThinkingBudget
from .detection import CONFIG_ENTRY, resolve_markers
from .errors import InvalidBudget
from .marker_fields import MARKER_FIELDS, read_fields
from .markers import ThinkingMarkers, Tokenizer
from .plan import ThinkingPlan, compile_plan
from .vllm_compat import template_of, tokenizer_of

#: Key of `SamplingParams.extra_args` under which a server names the request, so that it can request its report.
REQUEST_KEY = "thinking_request"
#: Key of `SamplingParams.extra_args` under which a server says that a budget opens no thinking: see `compile_plan`.
ONLY_CLOSES_KEY = "thinking_only_closes"
#: Key of `VllmConfig.additional_config` for the markers.
CONFIG_KEY = "thinking"
#: Name of the reasoning parser for which thinking ends where it does for the automaton: `tenuto_server.reasoning`.
PARSER = "tenuto"


def check_request(params: SamplingParams) -> None:
    """Refuse a wrong budget, and one in addition to vLLM's own, which would count and force differently.

    Raises:
        InvalidBudget: naming the field.
    """
    budget = ThinkingBudget.from_mapping(params.extra_args or {})
    if budget is not None and params.thinking_token_budget is not None:
        raise InvalidBudget(
            "thinking_token_budget",
            f"{params.thinking_token_budget} is vLLM's own budget, which would run after this one and override it; "
            "give one of the two",
        )


def markers_of(config: VllmConfig) -> ThinkingMarkers:
    """The markers of the engine's model: configured ones, else those that the model shows.

    Under CONFIG_KEY, the engine's `additional_config` may give any fields of `ThinkingMarkers`; a server gives all.

    Raises:
        UnknownMarkers: for a field that is wrong, and when nothing shows the markers.
    """
    given: dict[str, Any] = {}
    if isinstance(config.additional_config, dict):
        given = config.additional_config.get(CONFIG_KEY) or {}
    if given.keys() >= set(MARKER_FIELDS):
        return ThinkingMarkers(**read_fields(given))
    tokenizer = tokenizer_of(config)
    return resolve_markers(tokenizer, template_of(tokenizer), **shown_by(config.model_config), **given)


def shown_by(model_config: ModelConfig) -> dict[str, Any]:
    """What a model's name and its config.json say about its markers, as arguments of the detection."""
    family = getattr(model_config.hf_config, CONFIG_ENTRY, None)
    return {"name": model_config.model, "config_family": family}


def plan_for(
    params: SamplingParams,
    budget: ThinkingBudget | None,
    markers: ThinkingMarkers,
    tokenizer: Tokenizer,
    *,
    only_closes: bool | None = None,
) -> ThinkingPlan:
    """The plan of a budget, given the other parameters of its request after vLLM has added the model's stop ids.

    Args:
        only_closes: as `compile_plan`; None for what the parameters say.

    Raises:
        InvalidBudget, UnknownMarkers: as `compile_plan`.
    """
    if only_closes is None:
        only_closes = bool((params.extra_args or {}).get(ONLY_CLOSES_KEY))
    return compile_plan(
        budget,
        markers,
        tokenizer,
        stop_ids=params.all_stop_token_ids,
        grammar=params.structured_outputs is not None,
        only_closes=only_closes,
    )


def masks_thinking(config: VllmConfig) -> bool:
    """Whether a grammar may mask tokens while the model thinks, so that a masked token has to stay masked.

    With our parser the grammar begins after the thinking: it has masked nothing before.
    """
    settings = config.structured_outputs_config
    return bool(settings.reasoning_parser != PARSER or settings.enable_in_reasoning)
