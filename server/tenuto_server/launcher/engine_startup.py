"""Starts the engine: configuration, markers and checks first, and then the model."""

import logging
from argparse import Namespace
from dataclasses import asdict
from importlib import import_module
from pkgutil import resolve_name

from vllm.config import VllmConfig
from vllm.engine.arg_utils import AsyncEngineArgs

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.detection import resolve_markers
from tenuto_decoding.errors import ThinkingError, UnknownMarkers
from tenuto_decoding.gpu.layout import MAX_SOURCES
from tenuto_decoding.markers import ThinkingMarkers
from tenuto_decoding.plan import compile_plan
from tenuto_decoding.vllm_compat import template_of, tokenizer_of
from tenuto_decoding.vllm_requests import CONFIG_KEY, shown_by
from tenuto_decoding.vocabulary import Vocabulary

from ..budgets.chat_prompts import is_chat
from ..budgets.defaults import Defaults
from ..budgets.other_names import TEMPLATE, switched_on
from ..budgets.resolution import ThinkingPolicy
from ..config.command_line import ServeConfig, given_template
from ..config.option_errors import usage_errors
from ..engine.thinking_engine import ThinkingEngine
from ..errors import StartupError
from ..vllm_compat import Executor, UsageContext
from .parsers import check_parsers, check_tool_parser, choose_reasoning_parser

logger = logging.getLogger("vllm.tenuto")

_CONTEXT = UsageContext.OPENAI_API_SERVER
WORKER_EXTENSION = "tenuto_decoding.worker.ThinkingWorkerExtension"


def start_engine(config: ServeConfig, args: Namespace) -> ThinkingEngine:
    """Load the model. Blocks until the engine is ready: from half a minute to many minutes.

    Raises:
        StartupError: for options that cannot work, before the model is loaded.
    """
    with usage_errors(args):
        engine_args = AsyncEngineArgs.from_cli_args(args)
    vllm_config, policy = configure(config, args, engine_args)
    with usage_errors(args, RuntimeError):  # which is how vLLM reports that the engine's processes have failed
        return ThinkingEngine(
            policy=policy,
            vllm_config=vllm_config,
            executor_class=Executor.get_class(vllm_config),
            usage_context=_CONTEXT,
            log_requests=engine_args.enable_log_requests,
            log_stats=not engine_args.disable_log_stats,
            aggregate_engine_logging=engine_args.aggregate_engine_logging,
        )


def configure(config: ServeConfig, args: Namespace, engine_args: AsyncEngineArgs) -> tuple[VllmConfig, ThinkingPolicy]:
    """What the engine is made with, after every check that needs no weights.

    Raises:
        StartupError: for options that cannot work.
    """
    with usage_errors(args):
        vllm_config = engine_args.create_engine_config(usage_context=_CONTEXT)
        _check_model(vllm_config)
        check_tool_parser(args.tool_call_parser)
        defaults, template = config.read_defaults(), given_template(args.chat_template)
        markers = _find_markers(vllm_config, config, args.model, template)
        if markers is not None:
            _prepare(vllm_config, markers, defaults)
            choose_reasoning_parser(vllm_config, args, markers)
            logger.info("Thinking: family %s, %r to %r", markers.family, markers.start, markers.end)
        check_parsers(vllm_config, args, tokenizer_of(vllm_config))
    # The GPU's logits processor has room for a fixed number of ids that end a reply.
    max_end_ids = MAX_SOURCES if vllm_config.use_v2_model_runner else None
    on = switched_on({TEMPLATE: args.default_chat_template_kwargs})
    return vllm_config, ThinkingPolicy(markers, defaults, config.answer_reserve_tokens, max_end_ids, template, on)


def _find_markers(
    vllm_config: VllmConfig, config: ServeConfig, model: str, template: str | None
) -> ThinkingMarkers | None:
    """The markers that the operator gives, else those that the model shows; None if there are none that it can write.

    Args:
        model: as the operator names it: vLLM replaces a repository's name by a folder where it is offline.
        template: the chat template, where it is not the tokenizer's own.

    Raises:
        StartupError: where there are none, and the operator's options need them.
    """
    tokenizer, given = tokenizer_of(vllm_config), config.read_markers()
    shown = {**shown_by(vllm_config.model_config), "name": model}
    try:
        markers = resolve_markers(tokenizer, template or template_of(tokenizer), **shown, **given)
        compile_plan(None, markers, tokenizer)
    except UnknownMarkers as error:
        if given or config.read_defaults().bounds_thinking:
            raise StartupError(str(error)) from error
        logger.warning("No thinking budgets for this model: %s", error)
        return None
    return markers


def _prepare(vllm_config: VllmConfig, markers: ThinkingMarkers, defaults: Defaults) -> None:
    """Check the budgets, and add our logits processor and worker extension to the engine's configuration."""
    vllm_config.additional_config = {**vllm_config.additional_config, CONFIG_KEY: asdict(markers)}
    # vLLM's two model runners have different interfaces. The second one's adapter needs Triton, so import only one.
    adapter = import_module(f"tenuto_decoding.vllm_{'v2' if vllm_config.use_v2_model_runner else 'v1'}")
    try:
        _check_budgets(vllm_config, markers, defaults)
        _check_ends(vllm_config, markers)
        adapter.check_engine(vllm_config)
    except ThinkingError as error:
        raise StartupError(str(error)) from error
    processors = vllm_config.model_config.logits_processors or []
    vllm_config.model_config.logits_processors = [*processors, f"{adapter.__name__}:ThinkingLogitsProcessor"]
    vllm_config.parallel_config.worker_extension_cls = WORKER_EXTENSION


def _check_model(vllm_config: VllmConfig) -> None:
    """Raise StartupError for what vLLM finds out in the engine's processes only, or never."""
    model_config = vllm_config.model_config
    if model_config.runner_type != "generate":
        raise StartupError(f"--runner: {model_config.runner_type}: this server needs a model that generates text")
    for name in model_config.logits_processors or ():
        try:
            processor = resolve_name(name) if isinstance(name, str) else name
        except (ImportError, AttributeError, ValueError) as error:
            raise StartupError(f"--logits-processors: {name} cannot be imported: {error}") from error
        if not isinstance(processor, type):
            raise StartupError(f"--logits-processors: {name} is not a class: name one as MODULE:CLASS")


def _check_budgets(vllm_config: VllmConfig, markers: ThinkingMarkers, defaults: Defaults) -> None:
    """Compile the default budgets, to find texts that cannot be encoded now and to save the first request the time."""
    tokenizer = tokenizer_of(vllm_config)
    Vocabulary.of(tokenizer).prepare(vllm_config.model_config.get_vocab_size())
    is_chat(tokenizer, ())
    for budget in defaults.budgets():
        compile_plan(budget, markers, tokenizer)


def _check_ends(vllm_config: VllmConfig, markers: ThinkingMarkers) -> None:
    """Refuse a model of which a reply would end inside its markers: then there would never be an answer.

    Raises:
        StartupError: naming the token.
    """
    tokenizer = tokenizer_of(vllm_config)
    configured = vllm_config.model_config.try_get_generation_config().get("eos_token_id") or ()
    ends = {tokenizer.eos_token_id, *((configured,) if isinstance(configured, int) else configured)}
    plan = compile_plan(ThinkingBudget(max_thinking_tokens=0), markers, tokenizer)
    texts = {"start marker": plan.start.ids, "end marker": plan.end.ids, "answer prefix": plan.answer_prefix}
    for name, ids in texts.items():
        if inside := ends.intersection(ids):
            token = min(inside)
            raise StartupError(
                f"the {name} of this model's thinking holds the token {token} ({tokenizer.decode([token])!r}), "
                "at which replies end, so none could have an answer: name other markers (--thinking-start-marker and "
                "--thinking-end-marker), or take the token out of eos_token_id in its generation_config.json"
            )
