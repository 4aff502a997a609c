"""`POST /v1/chat/completions`: vLLM's chat, with the account of the thinking added to what it answers."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionResponse
from vllm.entrypoints.serve.engine.protocol import CompletionTokenUsageInfo, ErrorResponse
from vllm.entrypoints.serve.utils.api_utils import load_aware_call, validate_json_request, with_cancellation
from vllm.entrypoints.serve.utils.sse_keep_alive import with_sse_keep_alive

from tenuto_decoding.errors import InvalidBudget

from ..accounting import Reply, collect_replies
from ..schema import ChatCompletionRequest

router = APIRouter(tags=["chat"])

_ERRORS: dict[int | str, dict[str, Any]] = {status: {"model": ErrorResponse} for status in (400, 404, 500, 501, 503)}


@router.post(
    "/v1/chat/completions",
    dependencies=[Depends(validate_json_request)],
    responses={200: {"content": {"text/event-stream": {}}}, **_ERRORS},
)
@with_cancellation
@load_aware_call
async def create_chat_completion(request: ChatCompletionRequest, raw_request: Request) -> Response:
    """A chat completion whose thinking keeps within `max_thinking_tokens` and reaches `min_thinking_tokens`."""
    state = raw_request.app.state
    if request.use_beam_search and state.service.has_default_budget:
        raise InvalidBudget(
            "use_beam_search", "this server has a default thinking budget, which beam search cannot keep"
        )
    with collect_replies() as replies:
        result = await state.openai_serving_chat.create_chat_completion(request, raw_request)
    if isinstance(result, ErrorResponse):
        return JSONResponse(result.model_dump(), status_code=result.error.code)
    # Without known markers, and for beam search, there is no account.
    reply = replies[0] if replies and not request.use_beam_search else None
    if isinstance(result, ChatCompletionResponse):
        _complete(result, reply)
        return JSONResponse(result.model_dump())
    events = with_sse_keep_alive(_completed(result, reply), float(state.args.sse_keep_alive_interval))
    return StreamingResponse(events, media_type="text/event-stream")


def _complete(response: ChatCompletionResponse, reply: Reply | None) -> None:
    for choice in response.choices:
        choice.message.reasoning_content = choice.message.reasoning
        choice.thinking = reply.choices[choice.index].report.to_dict() if reply else None
    if reply is not None:
        response.usage.completion_tokens_details = CompletionTokenUsageInfo(reasoning_tokens=reply.reasoning_tokens)


async def _completed(events: AsyncGenerator[str, None], reply: Reply | None) -> AsyncGenerator[str, None]:
    async for event in events:
        yield _complete_event(event, reply)


def _complete_event(event: str, reply: Reply | None) -> str:
    """The event, with the account added where a choice ends and where usage is told.

    Only those events are parsed. In JSON as vLLM writes it, without spaces, neither of the two texts can stand within a
    string: its quotes would be escaped.
    """
    if '"finish_reason":"' not in event and '"usage":{' not in event:
        return event
    chunk = json.loads(event.removeprefix("data: "))
    for choice in chunk["choices"]:
        if choice["finish_reason"] is not None:
            choice["thinking"] = reply.choices[choice["index"]].report.to_dict() if reply else None
    if reply is not None and chunk.get("usage"):
        told = [reply.choices[choice["index"]] for choice in chunk["choices"]] or reply.choices
        tokens = sum(choice.report.tokens for choice in told)
        chunk["usage"]["completion_tokens_details"] = {"reasoning_tokens": tokens}
    return f"data: {json.dumps(chunk, ensure_ascii=False, separators=(',', ':'))}\n\n"
