"""`POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's API, with the same budgets as everywhere."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from vllm.entrypoints.anthropic.protocol import AnthropicCountTokensResponse, AnthropicMessagesResponse
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.utils.api_utils import validate_json_request, with_cancellation

from ..anthropic import CountTokensRequest, MessagesRequest, tell_events, tell_message
from ..error_handlers import ANTHROPIC_ERRORS, STREAM, refused
from ..sse import streamed
from ..thinking_reports import Account, whole

router = APIRouter(tags=["messages"])


@router.post("/v1/messages", dependencies=[Depends(validate_json_request)], responses=STREAM | ANTHROPIC_ERRORS)
@with_cancellation
async def create_message(request: MessagesRequest, raw_request: Request) -> Response:
    """A message whose thinking keeps within `thinking.budget_tokens`, another name for `max_thinking_tokens`."""
    serving, account = raw_request.app.state.anthropic_serving_messages, Account()
    result = await account.of(serving.create_messages(request, raw_request))
    if isinstance(result, ErrorResponse):
        return refused(result, raw_request)
    if isinstance(result, AnthropicMessagesResponse):
        return JSONResponse(tell_message(result, account))
    return streamed(tell_events(result, account), raw_request)


@router.post(
    "/v1/messages/count_tokens",
    dependencies=[Depends(validate_json_request)],
    responses={200: {"model": AnthropicCountTokensResponse}, **ANTHROPIC_ERRORS},
)
@with_cancellation
async def count_tokens(request: CountTokensRequest, raw_request: Request) -> Response:
    """How many tokens the prompt of a message has."""
    result = await raw_request.app.state.anthropic_serving_messages.count_tokens(request, raw_request)
    return refused(result, raw_request) if isinstance(result, ErrorResponse) else whole(result, exclude_none=True)
