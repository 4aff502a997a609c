"""`POST /v1/chat/completions` and its `/batch`: vLLM's chat, with the account of the thinking added to the answers."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionResponse
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.utils.api_utils import validate_json_request, with_cancellation

from ..error_handlers import ERRORS, STREAM, refused
from ..protocol import BatchChatCompletionRequest, ChatCompletionRequest
from ..sse import streamed
from ..thinking_reports import Account, open_account, tell_choices, tell_chunks, whole

router = APIRouter(tags=["chat"])


@router.post("/v1/chat/completions", dependencies=[Depends(validate_json_request)], responses=STREAM | ERRORS)
@with_cancellation
async def create_chat_completion(request: ChatCompletionRequest, raw_request: Request) -> Response:
    """A chat completion whose thinking keeps within `max_thinking_tokens` and reaches `min_thinking_tokens`."""
    serving, account = raw_request.app.state.openai_serving_chat, open_account(request, raw_request)
    result = await account.of(serving.create_chat_completion(request, raw_request))
    if isinstance(result, ErrorResponse):
        return refused(result, raw_request)
    if isinstance(result, ChatCompletionResponse):
        _name_reasoning_twice(result)
        tell_choices(result, account)
        return whole(result)
    return streamed(tell_chunks(result, account), raw_request)


@router.post("/v1/chat/completions/batch", dependencies=[Depends(validate_json_request)], responses=ERRORS)
@with_cancellation
async def create_batch_chat_completion(request: BatchChatCompletionRequest, raw_request: Request) -> Response:
    """A chat completion for each of several conversations: choices are numbered as the conversations are."""
    serving, account = raw_request.app.state.openai_serving_chat_batch, Account()
    result = await account.of(serving.create_batch_chat_completion(request, raw_request))
    if isinstance(result, ErrorResponse):
        return refused(result, raw_request)
    _name_reasoning_twice(result)
    tell_choices(result, account)
    return whole(result)


def _name_reasoning_twice(response: ChatCompletionResponse) -> None:
    """Give the reasoning under the other name too that clients read."""
    for choice in response.choices:
        choice.message.reasoning_content = choice.message.reasoning
