"""`POST /v1/chat/completions` and its `/batch`: vLLM's chat, with thinking reports in the responses."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from ...vllm_compat import ChatCompletionResponse, ErrorResponse, validate_json_request, with_cancellation
from ..error_handlers import ERRORS, STREAM, error_response
from ..protocol import BatchChatCompletionRequest, ChatCompletionRequest
from ..reading import ReadingRoute
from ..sse import event_stream
from ..thinking_reports import (
    CountedReplies,
    ForcedTexts,
    add_reports_to_choices,
    add_reports_to_chunks,
    counted_replies,
)

router = APIRouter(route_class=ReadingRoute, tags=["chat"])


@router.post("/v1/chat/completions", dependencies=[Depends(validate_json_request)], responses=STREAM | ERRORS)
@with_cancellation
async def create_chat_completion(request: ChatCompletionRequest, raw_request: Request) -> Response:
    """A chat completion whose thinking keeps within `max_thinking_tokens` and reaches `min_thinking_tokens`."""
    serving, counted = raw_request.app.state.openai_serving_chat, counted_replies(request, raw_request)
    engine = raw_request.app.state.engine_client
    request.for_engine(engine)
    result = await counted.collect(serving.create_chat_completion(request, raw_request))
    if isinstance(result, ErrorResponse):
        return error_response(result, raw_request)
    forced = None
    if request.return_forced_text:
        forced = ForcedTexts(counted, engine.get_tokenizer(), skip_special_tokens=request.skip_special_tokens)
    if isinstance(result, ChatCompletionResponse):
        return _complete(result, counted, forced)
    return event_stream(add_reports_to_chunks(result, counted, forced), raw_request)


@router.post("/v1/chat/completions/batch", dependencies=[Depends(validate_json_request)], responses=ERRORS)
@with_cancellation
async def create_batch_chat_completion(request: BatchChatCompletionRequest, raw_request: Request) -> Response:
    """A chat completion for each of several conversations. Choices are numbered as the conversations are."""
    serving, counted = raw_request.app.state.openai_serving_chat_batch, CountedReplies()
    request.for_engine(raw_request.app.state.engine_client)
    result = await counted.collect(serving.create_batch_chat_completion(request, raw_request))
    if isinstance(result, ErrorResponse):
        return error_response(result, raw_request)
    return _complete(result, counted)


def _complete(
    response: ChatCompletionResponse, counted: CountedReplies, forced: ForcedTexts | None = None
) -> JSONResponse:
    """A whole response with its reports, and with its reasoning under the second name that clients read too."""
    for choice in response.choices:
        choice.message.reasoning_content = choice.message.reasoning
        if forced is not None:
            choice.forced = forced.spans(choice.index, is_last=True) or []
    add_reports_to_choices(response, counted)
    return JSONResponse(response.model_dump())
