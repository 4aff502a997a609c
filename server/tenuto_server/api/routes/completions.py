"""`POST /v1/completions`: vLLM's completions, with the account of the thinking added to what it answers."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from vllm.entrypoints.openai.completion.protocol import CompletionResponse
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.utils.api_utils import validate_json_request, with_cancellation

from ..error_handlers import ERRORS, STREAM, refused
from ..protocol import CompletionRequest
from ..sse import streamed
from ..thinking_reports import open_account, tell_choices, tell_chunks, whole

router = APIRouter(tags=["completions"])


@router.post("/v1/completions", dependencies=[Depends(validate_json_request)], responses=STREAM | ERRORS)
@with_cancellation
async def create_completion(request: CompletionRequest, raw_request: Request) -> Response:
    """Completions of one or more prompts, each with the thinking budget to itself."""
    serving, account = raw_request.app.state.openai_serving_completion, open_account(request, raw_request)
    result = await account.of(serving.create_completion(request, raw_request))
    if isinstance(result, ErrorResponse):
        return refused(result, raw_request)
    if isinstance(result, CompletionResponse):
        tell_choices(result, account)
        return whole(result)
    return streamed(tell_chunks(result, account), raw_request)
