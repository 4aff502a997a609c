"""The one seam to vLLM: everything that is not its documented public API is imported here, and nowhere else.

Each import has a comment on what we rely on, and `tests/server/test_vllm_compat.py` pins it. Where supported releases
differ (0.32 and 0.33), this module hides the difference. Documented, and so imported where it is used: the engine and
its arguments, `vllm.config`, `vllm.envs`, `vllm.exceptions`, `SamplingParams`, `ReasoningParser` and its manager.
"""

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

__all__ = [
    "AnthropicCountTokensRequest",
    "AnthropicCountTokensResponse",
    "AnthropicErrorResponse",
    "AnthropicMessagesRequest",
    "AnthropicMessagesResponse",
    "AnthropicServingMessages",
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
    "ErrorInfo",
    "ErrorResponse",
    "OpenAIBaseModel",
    "OpenAIServingResponses",
    "Parser",
    "ResponsesRequest",
    "ResponsesResponse",
    "TokenizeChatRequest",
    "TokenizeCompletionRequest",
    "TokenizeResponse",
    "create_error_response",
    "validate_json_request",
    "validation_exception_handler",
    "with_cancellation",
    "with_sse_keep_alive",
]
