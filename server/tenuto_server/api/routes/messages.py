"""`POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's API, with the budgets of every other endpoint."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from ...vllm_compat import (
    AnthropicCountTokensResponse,
    AnthropicMessagesResponse,
    ErrorResponse,
    validate_json_request,
    with_cancellation,
)
from ..anthropic import CountTokensRequest, MessagesRequest, add_report_to_events, add_report_to_message
from ..error_handlers import ANTHROPIC_ERRORS, STREAM, error_response
from ..reading import ReadingRoute
from ..sse import event_stream
from ..thinking_reports import CountedReplies

router = APIRouter(route_class=ReadingRoute, tags=["messages"])


@router.post("/v1/messages", dependencies=[Depends(validate_json_request)], responses=STREAM | ANTHROPIC_ERRORS)
@with_cancellation
async def create_message(request: MessagesRequest, raw_request: Request) -> Response:
    """A message whose thinking keeps within `thinking.budget_tokens`, another name for `max_thinking_tokens`."""
    serving, counted = raw_request.app.state.anthropic_serving_messages, CountedReplies()
    request.for_engine(raw_request.app.state.engine_client)
    result = await counted.collect(serving.create_messages(request, raw_request))
    if isinstance(result, ErrorResponse):
        return error_response(result, raw_request)
    if isinstance(result, AnthropicMessagesResponse):
        return JSONResponse(add_report_to_message(result, counted))
    return event_stream(add_report_to_events(result, counted), raw_request)


@router.post(
    "/v1/messages/count_tokens",
    dependencies=[Depends(validate_json_request)],
    responses={200: {"model": AnthropicCountTokensResponse}, **ANTHROPIC_ERRORS},
)
@with_cancellation
async def count_tokens(request: CountTokensRequest, raw_request: Request) -> Response:
    """The number of tokens in the prompt of a message."""
    request.for_engine(raw_request.app.state.engine_client)
    result = await raw_request.app.state.anthropic_serving_messages.count_tokens(request, raw_request)
    if isinstance(result, ErrorResponse):
        return error_response(result, raw_request)
    return JSONResponse(result.model_dump(exclude_none=True))
