"""`POST /v1/completions`: vLLM's completions, with thinking reports in the responses."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from ...vllm_compat import CompletionResponse, ErrorResponse, validate_json_request, with_cancellation
from ..echo import only_echoes, without_tokens, without_tokens_in_chunks
from ..error_handlers import ERRORS, STREAM, error_response
from ..protocol import CompletionRequest
from ..reading import ReadingRoute
from ..sse import event_stream
from ..thinking_reports import add_reports_to_choices, add_reports_to_chunks, counted_replies

router = APIRouter(route_class=ReadingRoute, tags=["completions"])


@router.post("/v1/completions", dependencies=[Depends(validate_json_request)], responses=STREAM | ERRORS)
@with_cancellation
async def create_completion(request: CompletionRequest, raw_request: Request) -> Response:
    """Completions of one or more prompts. The thinking budget applies to each on its own."""
    serving, counted = raw_request.app.state.openai_serving_completion, counted_replies(request, raw_request)
    result = await counted.collect(serving.create_completion(request, raw_request))
    if isinstance(result, ErrorResponse):
        return error_response(result, raw_request)
    counted.are_dropped = only_echoes(request)
    if isinstance(result, CompletionResponse):
        if counted.are_dropped:
            without_tokens(result)
        add_reports_to_choices(result, counted)
        return JSONResponse(result.model_dump())
    chunks = without_tokens_in_chunks(result) if counted.are_dropped else result
    return event_stream(add_reports_to_chunks(chunks, counted), raw_request)
