"""`POST /v1/responses`: vLLM's Responses, with the account of the thinking added to what it answers."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from vllm.entrypoints.openai.responses.protocol import ResponsesResponse
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.utils.api_utils import validate_json_request, with_cancellation

from ..error_handlers import ERRORS, STREAM, refused
from ..responses import ResponsesRequest, tell_response, tell_response_events
from ..sse import streamed
from ..thinking_reports import Account, whole

router = APIRouter(tags=["responses"])


@router.post("/v1/responses", dependencies=[Depends(validate_json_request)], responses=STREAM | ERRORS)
@with_cancellation
async def create_response(request: ResponsesRequest, raw_request: Request) -> Response:
    """A response whose thinking keeps within `max_thinking_tokens` and reaches `min_thinking_tokens`."""
    account = Account()
    result = await account.of(raw_request.app.state.openai_serving_responses.create_responses(request, raw_request))
    if isinstance(result, ErrorResponse):
        return refused(result, raw_request)
    if isinstance(result, ResponsesResponse):
        tell_response(result, account)
        return whole(result, mode="json", by_alias=True)
    return streamed(tell_response_events(result, account), raw_request)
