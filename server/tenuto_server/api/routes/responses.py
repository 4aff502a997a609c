"""`POST /v1/responses`: vLLM's Responses, with thinking reports in the responses."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from ...vllm_compat import ErrorResponse, ResponsesResponse, validate_json_request, with_cancellation
from ..error_handlers import ERRORS, STREAM, error_response
from ..openai_responses import ResponsesRequest, add_reports_to_events, add_reports_to_response
from ..reading import ReadingRoute
from ..sse import event_stream
from ..thinking_reports import CountedReplies

router = APIRouter(route_class=ReadingRoute, tags=["responses"])


@router.post("/v1/responses", dependencies=[Depends(validate_json_request)], responses=STREAM | ERRORS)
@with_cancellation
async def create_response(request: ResponsesRequest, raw_request: Request) -> Response:
    """A response whose thinking keeps within `max_thinking_tokens` and reaches `min_thinking_tokens`."""
    serving, counted = raw_request.app.state.openai_serving_responses, CountedReplies()
    request.for_engine(raw_request.app.state.engine_client)
    result = await counted.collect(serving.create_responses(request, raw_request))
    if isinstance(result, ErrorResponse):
        return error_response(result, raw_request)
    if isinstance(result, ResponsesResponse):
        add_reports_to_response(result, counted)
        return JSONResponse(result.model_dump(mode="json", by_alias=True))
    return event_stream(add_reports_to_events(result, counted), raw_request)
