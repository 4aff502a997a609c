"""Starts the engine: configuration, markers and checks first, and then the model."""

import logging
from argparse import Namespace
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name

from vllm.config import VllmConfig
from vllm.engine.arg_utils import AsyncEngineArgs

from tenuto_decoding.errors import ThinkingError, UnknownMarkers
from tenuto_decoding.gpu.layout import MAX_SOURCES
from tenuto_decoding.markers import ThinkingMarkers
from tenuto_decoding.plan import compile_plan
from tenuto_decoding.vllm_compat import tokenizer_of
from tenuto_decoding.vllm_requests import CONFIG_KEY, markers_of
from tenuto_decoding.vocabulary import Vocabulary

from ..budgets.chat_prompts import is_chat
from ..budgets.defaults import Defaults
from ..budgets.resolution import ThinkingPolicy
from ..config.command_line import ServeConfig
from ..config.option_errors import usage_errors
from ..engine.thinking_engine import ThinkingEngine
from ..errors import StartupError
from ..reasoning import parser as reasoning
from ..vllm_compat import Executor, ToolParserManager, UsageContext

logger = logging.getLogger("vllm.tenuto")

WORKER_EXTENSION = "tenuto_decoding.worker.ThinkingWorkerExtension"

#: Families whose text has more structure than two markers, with vLLM's parsers for them.
_VLLM_PARSERS = {"gpt-oss": "openai_gptoss", "cohere": "cohere_command3", "magistral": "mistral"}


def start_engine(config: ServeConfig, args: Namespace) -> ThinkingEngine:
    """Load the model. Blocks until the engine is ready: from half a minute to many minutes.

    Raises:
        StartupError: for options that cannot work, before the model is loaded.
    """
    context = UsageContext.OPENAI_API_SERVER
    with usage_errors(args):
        engine_args = AsyncEngineArgs.from_cli_args(args)
        vllm_config = engine_args.create_engine_config(usage_context=context)
        _check_model(vllm_config)
        _check_tool_parser(args.tool_call_parser)
        defaults = config.read_defaults()
        markers = _prepare(vllm_config, config, defaults)
        template = _given_template(args.chat_template)
    # The GPU's logits processor has room for a fixed number of ids that end a reply or its thinking.
    max_end_ids = MAX_SOURCES if vllm_config.use_v2_model_runner else None
    policy = ThinkingPolicy(markers, defaults, config.answer_reserve_tokens, max_end_ids, template)
    if policy.markers is not None:
        logger.info("Thinking: family %s, %r to %r", policy.markers.family, policy.markers.start, policy.markers.end)
        _choose_reasoning_parser(vllm_config, args, policy.markers)
    with usage_errors(args, RuntimeError):  # which is how vLLM reports that the engine's processes have failed
        return ThinkingEngine(
            policy=policy,
            vllm_config=vllm_config,
            executor_class=Executor.get_class(vllm_config),
            usage_context=context,
            log_requests=engine_args.enable_log_requests,
            log_stats=not engine_args.disable_log_stats,
            aggregate_engine_logging=engine_args.aggregate_engine_logging,
        )


def _given_template(option: str | None) -> str | None:
    """The text of `--chat-template`, which is a file or, in one line, the template itself; other files vLLM refuses."""
    if option is None or any(mark in option for mark in "{}\n"):
        return option
    path = Path(option)
    return path.read_text() if path.is_file() else None


def _prepare(vllm_config: VllmConfig, config: ServeConfig, defaults: Defaults) -> ThinkingMarkers | None:
    """Add our logits processor and worker extension to the engine's configuration; the markers, if known."""
    named = {
        "family": config.thinking_family,
        "start": config.thinking_start_marker,
        "end": config.thinking_end_marker,
    }
    vllm_config.additional_config = {**vllm_config.additional_config, CONFIG_KEY: named}
    try:
        markers = markers_of(vllm_config)
        _check_budgets(vllm_config, markers, defaults)
    except UnknownMarkers as error:
        if defaults.bounds_thinking or any(named.values()):
            raise StartupError(str(error)) from error
        logger.warning("No thinking budgets for this model: %s", error)
        return None
    except ThinkingError as error:
        raise StartupError(str(error)) from error
    # vLLM's two model runners have different interfaces. The second one's adapter needs Triton, so import only one.
    adapter = import_module(f"tenuto_decoding.vllm_{'v2' if vllm_config.use_v2_model_runner else 'v1'}")
    try:
        adapter.check_engine(vllm_config)
    except ThinkingError as error:
        raise StartupError(str(error)) from error
    processors = vllm_config.model_config.logits_processors or []
    vllm_config.model_config.logits_processors = [*processors, f"{adapter.__name__}:ThinkingLogitsProcessor"]
    vllm_config.parallel_config.worker_extension_cls = WORKER_EXTENSION
    return markers


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


def _check_tool_parser(name: str | None) -> None:
    """vLLM checks it only with `--enable-auto-tool-choice`."""
    known = ToolParserManager.list_registered()
    if name is not None and name not in known:
        raise StartupError(f"--tool-call-parser: {name} is not one of {', '.join(known)}")


def _check_budgets(vllm_config: VllmConfig, markers: ThinkingMarkers, defaults: Defaults) -> None:
    """Compile the default budgets, to find texts that cannot be encoded now and to save the first request the time."""
    tokenizer = tokenizer_of(vllm_config)
    Vocabulary.of(tokenizer).prepare(vllm_config.model_config.get_vocab_size())
    is_chat(tokenizer, ())
    for budget in (None, *defaults.budgets()):
        compile_plan(budget, markers, tokenizer)


def _choose_reasoning_parser(vllm_config: VllmConfig, args: Namespace, markers: ThinkingMarkers) -> None:
    """Choose the parser that splits text where the budget counts, unless the operator chose one."""
    reasoning.use_markers(markers)
    if vllm_config.structured_outputs_config.reasoning_parser:
        return
    chosen = _VLLM_PARSERS.get(markers.family, reasoning.NAME)
    for settings in (vllm_config.structured_outputs_config, args.structured_outputs_config):
        settings.reasoning_parser = chosen
        if chosen == reasoning.NAME:
            settings.reasoning_parser_plugin = reasoning.__name__
