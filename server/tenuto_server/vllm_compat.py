"""The one seam to vLLM: everything that is not its documented public API is imported here, and nowhere else.

Each import has a comment on what we rely on, and `tests/server/test_vllm_compat.py` pins it. Where supported releases
differ (0.32 and 0.33), this module hides the difference. Documented, and so imported where it is used: the engine and
its arguments, `vllm.config`, `vllm.envs`, `vllm.exceptions`, `SamplingParams`, `ReasoningParser` and its manager.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import State

# Messages: its bodies, and its serving object, which calls `self.to_chat_completion_request` for every message.
from vllm.entrypoints.anthropic.protocol import (
    AnthropicContentBlock,
    AnthropicCountTokensRequest,
    AnthropicCountTokensResponse,
    AnthropicErrorResponse,
    AnthropicMessage,
    AnthropicMessagesRequest,
    AnthropicMessagesResponse,
)
from vllm.entrypoints.anthropic.serving import AnthropicServingMessages

# What a parser returns for each chunk of a stream, and for each tool call of a whole text.
from vllm.entrypoints.generate.base.protocol import DeltaMessage, FunctionCall

# Starting the server: the listener, uvicorn without signal handlers, and the serving objects of the API; `/v1/models`
# and `/metrics`.
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.launcher import NoSignalServer, setup_server
from vllm.entrypoints.launchers.utils.server_utils import get_uvicorn_log_config

# Watches the files of the TLS certificates and loads them again when they change.
from vllm.entrypoints.launchers.utils.ssl import SSLCertRefresher

# Bodies of OpenAI's API. Pydantic models; requests keep unknown fields in `model_extra`, responses take more fields.
from vllm.entrypoints.openai.chat_completion.protocol import (
    BatchChatCompletionRequest,
    ChatCompletionRequest,
    ChatCompletionResponse,
)
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.openai.completion.protocol import CompletionRequest, CompletionResponse
from vllm.entrypoints.openai.models.api_router import router as models_router

# Responses. Its context keeps the ids and logprobs of a reply so far, and the items of a stream once that has ended.
from vllm.entrypoints.openai.responses.context import SimpleContext
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest, ResponsesResponse
from vllm.entrypoints.openai.responses.serving import OpenAIServingResponses

# What serving objects return instead of a response, and its parts.
from vllm.entrypoints.serve.engine.protocol import (
    CompletionTokenUsageInfo,
    ErrorInfo,
    ErrorResponse,
    OpenAIBaseModel,
)

# An exception becomes an `ErrorResponse`.
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.entrypoints.serve.instrumentator.metrics import attach_router as attach_metrics
from vllm.entrypoints.serve.tokenize.protocol import (
    DetokenizeRequest,
    DetokenizeResponse,
    TokenizeChatRequest,
    TokenizeCompletionRequest,
    TokenizeResponse,
)

# A dependency that refuses other content types, a decorator that cancels a handler whose client disconnects, and
# comments in idle streams.
from vllm.entrypoints.serve.utils.api_utils import validate_json_request, with_cancellation
from vllm.entrypoints.serve.utils.sse_keep_alive import with_sse_keep_alive

# Configures logging in this process from `--log-level` and the like, and keeps the result for the engine's processes.
from vllm.logger import configure_logging_from_args

# What serving objects make for each sequence to parse its text. To subclass it is the way to parse in another way.
from vllm.parser.abstract_parser import DelegatingParser, Parser

# Composes the parser of replies from the names of a reasoning parser and a tool parser, and makes it once.
from vllm.parser.parser_manager import ParserManager

# The engine's side: what a prompt holds, what is sent to the engine core, and what turns its tokens into text.
from vllm.renderers.inputs.preprocess import extract_prompt_components
from vllm.sampling_params import SamplingParams

# The names that `--tool-call-parser` takes, once plugins are imported.
from vllm.tool_parsers import ToolParserManager

# A parser makes its `tool_parser_cls`. `adjust_request` and `get_structural_tag` make the grammar of forced tool calls.
from vllm.tool_parsers.abstract_tool_parser import ToolParser

# Names of attributes of vLLM's spans, and how it makes a span: started and ended at once, in the trace of the headers.
from vllm.tracing import SpanAttributes, SpanKind, extract_trace_context, instrument_manual

# What `AsyncLLM` is constructed with.
from vllm.usage.usage_lib import UsageContext

# vLLM's command line: options in groups, `--config FILE`, underscores for dashes, help by keyword.
from vllm.utils.argparse_utils import FlexibleArgumentParser

# Excludes all present objects from garbage collection.
from vllm.utils.gc_utils import freeze_gc_heap
from vllm.v1.engine import EngineCoreRequest
from vllm.v1.engine.detokenizer import BaseIncrementalDetokenizer, IncrementalDetokenizer
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.engine.output_processor import OutputProcessor
from vllm.v1.executor import Executor

# Of a node without an engine core, it starts the node's workers, and can wait for them.
from vllm.v1.executor.multiproc_executor import MultiprocExecutor

# The bounds of vLLM's histograms, by family.
from vllm.v1.metrics.buckets import histogram_buckets

try:  # 0.33
    from vllm.entrypoints.common.cli_args import make_arg_parser, validate_parsed_serve_args
except ModuleNotFoundError:  # 0.32
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args

__all__ = [
    "NO_FIELDS",
    "TOO_LONG",
    "AnthropicContentBlock",
    "AnthropicCountTokensRequest",
    "AnthropicCountTokensResponse",
    "AnthropicErrorResponse",
    "AnthropicMessage",
    "AnthropicMessagesRequest",
    "AnthropicMessagesResponse",
    "AnthropicServingMessages",
    "BaseIncrementalDetokenizer",
    "BatchChatCompletionRequest",
    "ChatCompletionRequest",
    "ChatCompletionResponse",
    "CheckedChat",
    "CheckedResponses",
    "CompletionRequest",
    "CompletionResponse",
    "CompletionTokenUsageInfo",
    "DelegatingParser",
    "DeltaMessage",
    "DetokenizeRequest",
    "DetokenizeResponse",
    "EngineCoreRequest",
    "EngineDeadError",
    "ErrorInfo",
    "ErrorResponse",
    "Executor",
    "FlexibleArgumentParser",
    "FunctionCall",
    "IncrementalDetokenizer",
    "NoSignalServer",
    "OpenAIBaseModel",
    "OutputProcessor",
    "Parser",
    "ParserManager",
    "RemoteWorkers",
    "RequestSpan",
    "ResponsesRequest",
    "ResponsesResponse",
    "SimpleContext",
    "TokenizeChatRequest",
    "TokenizeCompletionRequest",
    "TokenizeResponse",
    "ToolParser",
    "ToolParserManager",
    "UsageContext",
    "attach_metrics",
    "call_all_engines",
    "changed_tool_schemas",
    "configure_logging_from_args",
    "core_sentinels",
    "create_error_response",
    "declare_dead",
    "freeze_gc_heap",
    "get_uvicorn_log_config",
    "histogram_bounds",
    "init_app_state",
    "is_harmony",
    "make_arg_parser",
    "make_chat",
    "make_messages",
    "make_responses",
    "metric_model_name",
    "models_router",
    "process_input",
    "prompt_token_ids",
    "refresh_certificates",
    "sampling_worker",
    "setup_server",
    "validate_json_request",
    "validate_parsed_serve_args",
    "with_cancellation",
    "with_model_stops",
    "with_sse_keep_alive",
]


# It names a type that vLLM defines after it, and that only its own module knows: complete it before it is subclassed.
AnthropicContentBlock.model_rebuild()

#: The parameters that vLLM's errors about a prompt name where it is longer than the context.
TOO_LONG = frozenset({"input_text", "input_tokens"})

#: Names in vLLM's errors that are no fields of a body: of its parts, or of what is made of it.
NO_FIELDS = TOO_LONG | {"type", "image_url", "image_embeds", "audio_embeds", "video_embeds", "audio_filesize_mb"}


def is_harmony(model_config: Any) -> bool:
    """Whether vLLM writes this model's prompts and reads its replies in gpt-oss's own format."""
    return bool(model_config.hf_config.model_type == "gpt_oss")


def histogram_bounds(config: Any) -> dict[Any, list[float]]:
    """The upper bounds of those families of vLLM's histograms that ours use too, for this model and these options."""
    length, own = config.model_config.max_model_len, config.observability_config.custom_histogram_buckets
    families: tuple[Any, ...] = ("request_tokens", "time_to_first_token", "request_latency")
    return {family: [float(bound) for bound in histogram_buckets(family, length, own)] for family in families}


def metric_model_name(models: Any, requested: str | None) -> str:
    """The label of a model that a request names, or of the served one for None; empty for one that is not served."""
    if not requested or models.is_base_model(requested):
        return str(models.model_name())
    return requested if requested in models.lora_requests else ""


def prompt_token_ids(engine: Any, prompt: Any) -> Sequence[int]:
    """The token ids of a prompt in any form that `AsyncLLM.generate` takes; empty where it has none."""
    ids: Sequence[int] | None = extract_prompt_components(engine.model_config, prompt).token_ids
    return ids or []


def with_model_stops(engine: Any, params: Any) -> Any:
    """A copy of the sampling parameters with the model's own stop ids, which vLLM puts in later; twice is safe."""
    params = params.clone()
    fields = engine.input_processor.generation_config_fields
    params.update_from_generation_config(fields, engine.renderer.get_eos_token_id())
    return params


def process_input(engine: Any, request_id: str, prompt: Any, params: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """What `AsyncLLM.generate` gets in place of the prompt: the request as vLLM's input processor has checked it.

    `generate` is an async generator and checks prompt and parameters only when it is first read, which is after a
    stream's status was sent (https://github.com/vllm-project/vllm/pull/43072). It takes the processed request instead,
    and then processes nothing again.

    Args:
        options: keyword arguments for `generate`.

    Raises:
        VLLMValidationError, ValueError: what is wrong with the prompt or the parameters.
    """
    if not (isinstance(prompt, dict) and "type" in prompt):  # not rendered, as from `AsyncLLM`'s own callers
        return {"prompt": prompt}
    given = {name: value for name, value in options.items() if name in _PROCESSED}
    if engine.observability_config.otlp_traces_endpoint is None:
        given["trace_headers"] = None
    request = engine.input_processor.process_inputs(request_id, prompt, params, ("generate",), **given)
    return {"prompt": request, "prompt_text": extract_prompt_components(engine.model_config, prompt).text}


_PROCESSED = frozenset(
    {"lora_request", "tokenization_kwargs", "trace_headers", "priority", "data_parallel_rank", "session_id", "kv_hints"}
)


def _is_other_warning(record: logging.LogRecord) -> bool:
    """Whether a record of the engine's log is not the warning about what `process_input` does on purpose."""
    return "Passing EngineCoreRequest to AsyncLLM.generate()" not in str(record.msg)


logging.getLogger("vllm.v1.engine.async_llm").addFilter(_is_other_warning)


async def call_all_engines(engine: Any, method: str, arguments: Sequence[Any]) -> list[list[Any]]:
    """Call a worker method on every engine: for each, the results of its workers.

    `AsyncLLM.collective_rpc` calls one engine only, and with data parallelism any of them may run the request.
    """
    engines: list[list[Any]] = await engine.engine_core.call_utility_all_async(
        "collective_rpc", method, None, tuple(arguments), None
    )
    return engines


def sampling_worker(engine: Any, answers: Sequence[Any]) -> Any:
    """The answer of the worker whose tokens vLLM takes, of the answers of all workers of an engine.

    It is the first tensor parallel rank of the last stage of the pipeline. Earlier stages have logits processors too,
    but nothing to process.
    """
    parallel = engine.vllm_config.parallel_config
    return answers[-parallel.tensor_parallel_size * parallel.prefill_context_parallel_size]


def changed_tool_schemas(tools: Sequence[Any] | None, change: Callable[[Any], dict[str, Any]]) -> list[Any] | None:
    """Copies of a request's tools whose parameters were changed; those of chat and of Responses differ in shape."""
    if tools is None:
        return None
    return [_with_parameters(tool, change) for tool in tools]


def _with_parameters(tool: Any, change: Callable[[Any], dict[str, Any]]) -> Any:
    function = getattr(tool, "function", None)
    if function is not None:
        return tool.model_copy(update={"function": _with_parameters(function, change)})
    if not hasattr(tool, "parameters"):
        return tool
    return tool.model_copy(update={"parameters": change(tool.parameters)})


class CheckedChat(OpenAIServingChat):
    """vLLM's chat, whose whole replies say `length` where they were cut within a tool call, as its streams do.

    vLLM 0.32 says `tool_calls` for any whole reply with calls that the model was free to make
    (https://github.com/vllm-project/vllm/issues/47903).
    """

    async def chat_completion_full_generator(
        self, request: Any, result_generator: AsyncIterator[Any], *args: Any, **kwargs: Any
    ) -> Any:
        cut = set[int]()
        response = await super().chat_completion_full_generator(
            request, _noting_cut(result_generator, cut), *args, **kwargs
        )
        for choice in getattr(response, "choices", ()):  # an error has none
            if choice.index in cut:
                choice.finish_reason = "length"
        return response


async def _noting_cut(results: AsyncIterator[Any], cut: set[int]) -> AsyncIterator[Any]:
    """The results, and the indexes of the choices that reach their limit."""
    async for result in results:
        cut.update(output.index for output in result.outputs if output.finish_reason == "length")
        yield result


def core_sentinels(engine: Any) -> list[int]:
    """A file descriptor for each process of the engine on this machine, readable once the process has ended."""
    manager = engine.engine_core.resources.engine_manager
    return [process.sentinel for process in getattr(manager, "processes", ())]  # Ray's manager has actors instead


def declare_dead(engine: Any) -> None:
    """End all replies with `EngineDeadError`, as vLLM does once it has ended the engine's other processes."""
    engine.engine_core.resources.engine_dead = True
    engine.output_processor.propagate_error(EngineDeadError())


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSpan:
    """A span like vLLM's own, for a choice that the engine has not finished: vLLM makes none then.

    Attributes:
        request_id: as vLLM's spans have it.
        headers: `traceparent` and `tracestate` of the HTTP request, where it has them.
        began: in nanoseconds since the epoch.
        params: of the request.
    """

    request_id: str
    headers: Mapping[str, str] | None
    began: int
    prompt_tokens: int
    params: SamplingParams

    def make(self, output_tokens: int, first_token_seconds: float | None) -> None:
        """Export the span, which ends now."""
        params, names = self.params, SpanAttributes
        attributes = {
            names.GEN_AI_REQUEST_ID: self.request_id,
            names.GEN_AI_REQUEST_N: params.n,
            names.GEN_AI_REQUEST_MAX_TOKENS: params.max_tokens,
            names.GEN_AI_REQUEST_TEMPERATURE: params.temperature,
            names.GEN_AI_REQUEST_TOP_P: params.top_p,
            names.GEN_AI_USAGE_PROMPT_TOKENS: self.prompt_tokens,
            names.GEN_AI_USAGE_COMPLETION_TOKENS: output_tokens,
            names.GEN_AI_LATENCY_E2E: (time.time_ns() - self.began) / 1e9,
            names.GEN_AI_LATENCY_TIME_TO_FIRST_TOKEN: first_token_seconds,
        }
        instrument_manual(
            span_name="llm_request",
            start_time=self.began,
            attributes={name: value for name, value in attributes.items() if value},
            context=extract_trace_context(self.headers),
            kind=SpanKind.SERVER,
        )


class RemoteWorkers:
    """The workers of a node other than the first, started as `vllm serve --headless` does.

    They have joined those of the other nodes once this is constructed.
    """

    def __init__(self, vllm_config: Any) -> None:
        self._executor = MultiprocExecutor(vllm_config, monitor_workers=False)

    def wait(self) -> None:
        """Return when one of them has ended, after the others were ended too."""
        self._executor.start_worker_monitor(inline=True)


def refresh_certificates(config: Any) -> SSLCertRefresher:
    """Have the certificates of uvicorn's configuration loaded again when their files change, while the result is kept.

    Call it in the event loop.
    """
    key_file = config.ssl_keyfile or config.ssl_certfile  # one file may hold both, but vLLM watches nothing then
    return SSLCertRefresher(config.ssl, key_file, config.ssl_certfile, config.ssl_ca_certs)


class CheckedResponses(OpenAIServingResponses):
    """vLLM's Responses, which checks a request before its stream begins.

    vLLM calls the engine when the stream is first read, too late for an error 400. The method below is where it has the
    prompt and the sampling parameters, and it is called before the stream is returned.
    """

    def _generate_with_builtin_tools(
        self, request_id: str, engine_input: Any, sampling_params: Any, *args: Any, **kwargs: Any
    ) -> Any:
        self.engine_client.check(engine_input, sampling_params, request_id)
        return super()._generate_with_builtin_tools(request_id, engine_input, sampling_params, *args, **kwargs)


def make_chat(kind: type[OpenAIServingChat], state: State) -> OpenAIServingChat:
    """A serving object of this class, made as `init_generate_state` makes vLLM's own."""
    return kind(
        **_common_options(state),
        response_role=state.args.response_role,
        trust_request_chat_template=state.args.trust_request_chat_template,
        exclude_tools_when_tool_choice_none=state.args.exclude_tools_when_tool_choice_none,
        enable_log_deltas=state.args.enable_log_deltas,
        enable_per_request_metrics=state.args.enable_per_request_metrics,
    )


def make_responses(kind: type[OpenAIServingResponses], state: State) -> OpenAIServingResponses:
    """A serving object of this class, made as `init_generate_state` makes vLLM's own."""
    return kind(
        **_common_options(state),
        tool_server=state.tool_server,
        enable_per_request_metrics=state.args.enable_per_request_metrics,
    )


def make_messages(kind: type[AnthropicServingMessages], state: State) -> AnthropicServingMessages:
    """A serving object of this class, made as `init_generate_state` makes vLLM's own."""
    return kind(
        **_common_options(state),
        response_role=state.args.response_role,
        enable_log_deltas=state.args.enable_log_deltas,
        disabled_thinking_effort=state.args.anthropic_disabled_thinking_effort,
    )


def _common_options(state: State) -> dict[str, Any]:
    args, chat = state.args, state.openai_serving_chat
    return {
        "engine_client": state.engine_client,
        "models": state.openai_serving_models,
        "online_renderer": state.online_renderer,
        "request_logger": chat.request_logger,
        "chat_template": chat.chat_template,
        "chat_template_content_format": args.chat_template_content_format,
        "default_chat_template_kwargs": chat.default_chat_template_kwargs,
        "return_tokens_as_token_ids": args.return_tokens_as_token_ids,
        "enable_auto_tools": args.enable_auto_tool_choice,
        "tool_parser": args.tool_call_parser,
        "tool_strict_level": args.tool_strict_level,
        "reasoning_parser": args.structured_outputs_config.reasoning_parser,
        "enable_prompt_tokens_details": args.enable_prompt_tokens_details,
        "enable_force_include_usage": args.enable_force_include_usage,
        "enable_log_outputs": args.enable_log_outputs,
    }
