"""The one seam to vLLM: everything that is not its documented public API is imported here, and nowhere else.

Each import has a comment on what we rely on, and `tests/server/test_vllm_compat.py` pins it. Where supported releases
differ (0.32 and 0.33), this module hides the difference. Documented, and so imported where it is used: the engine and
its arguments, `vllm.config`, `vllm.envs`, `vllm.exceptions`, `SamplingParams`, `ReasoningParser` and its manager.
"""

from collections.abc import Sequence
from typing import Any

# Messages: bodies, and the serving object that makes a chat request of a message.
from vllm.entrypoints.anthropic.protocol import (
    AnthropicCountTokensRequest,
    AnthropicCountTokensResponse,
    AnthropicErrorResponse,
    AnthropicMessagesRequest,
    AnthropicMessagesResponse,
)
from vllm.entrypoints.anthropic.serving import AnthropicServingMessages

# What a parser returns for each chunk of a stream.
from vllm.entrypoints.generate.base.protocol import DeltaMessage

# Bodies of OpenAI's API. Pydantic models; requests keep unknown fields in `model_extra`, responses take more fields.
from vllm.entrypoints.openai.chat_completion.protocol import (
    BatchChatCompletionRequest,
    ChatCompletionRequest,
    ChatCompletionResponse,
)
from vllm.entrypoints.openai.completion.protocol import CompletionRequest, CompletionResponse
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest, ResponsesResponse
from vllm.entrypoints.openai.responses.serving import OpenAIServingResponses

# What serving objects return instead of a response, and its parts.
from vllm.entrypoints.serve.engine.protocol import (
    CompletionTokenUsageInfo,
    ErrorInfo,
    ErrorResponse,
    OpenAIBaseModel,
)

# An exception becomes an `ErrorResponse`; FastAPI's validation errors have a handler of their own.
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.entrypoints.serve.exception_handling.handlers.validation import validation_exception_handler
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

# What serving objects make for each sequence to parse its text. To subclass it is the way to parse in another way.
from vllm.parser.abstract_parser import DelegatingParser, Parser

# The engine's side: what a prompt holds, what is sent to the engine core, and what turns its tokens into text.
from vllm.renderers.inputs.preprocess import extract_prompt_components
from vllm.v1.engine import EngineCoreRequest
from vllm.v1.engine.detokenizer import BaseIncrementalDetokenizer, IncrementalDetokenizer
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.engine.output_processor import OutputProcessor

__all__ = [
    "AnthropicCountTokensRequest",
    "AnthropicCountTokensResponse",
    "AnthropicErrorResponse",
    "AnthropicMessagesRequest",
    "AnthropicMessagesResponse",
    "AnthropicServingMessages",
    "BaseIncrementalDetokenizer",
    "BatchChatCompletionRequest",
    "ChatCompletionRequest",
    "ChatCompletionResponse",
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
    "IncrementalDetokenizer",
    "OpenAIBaseModel",
    "OpenAIServingResponses",
    "OutputProcessor",
    "Parser",
    "ResponsesRequest",
    "ResponsesResponse",
    "TokenizeChatRequest",
    "TokenizeCompletionRequest",
    "TokenizeResponse",
    "call_all_engines",
    "create_error_response",
    "prompt_token_ids",
    "validate_json_request",
    "validation_exception_handler",
    "with_cancellation",
    "with_model_stops",
    "with_sse_keep_alive",
]


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


async def call_all_engines(engine: Any, method: str, arguments: Sequence[Any]) -> list[list[Any]]:
    """Call a worker method on every engine: for each, the results of its workers.

    `AsyncLLM.collective_rpc` calls one engine only, and with data parallelism any of them may run the request.
    """
    engines: list[list[Any]] = await engine.engine_core.call_utility_all_async(
        "collective_rpc", method, None, tuple(arguments), None
    )
    return engines
