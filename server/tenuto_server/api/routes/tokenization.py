"""`POST /tokenize` and `/detokenize`, also below `/v1`: vLLM's own, with the prompts of the other endpoints."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Discriminator, Tag

from ...vllm_compat import (
    DetokenizeResponse,
    ErrorResponse,
    TokenizeResponse,
    validate_json_request,
    with_cancellation,
)
from ..error_handlers import ERRORS, error_response
from ..protocol import DetokenizeRequest, TokenizeChatRequest, TokenizeCompletionRequest
from ..reading import ReadingRoute

router = APIRouter(
    route_class=ReadingRoute, tags=["tokenization"], dependencies=[Depends(validate_json_request)], responses=ERRORS
)


def _kind(body: Any) -> str:
    return "chat" if isinstance(body, dict) and "messages" in body else "text"


#: A body is one or the other by its field, so that an error is about what was meant.
TokenizeRequest = Annotated[
    Annotated[TokenizeCompletionRequest, Tag("text")] | Annotated[TokenizeChatRequest, Tag("chat")],
    Discriminator(_kind),
]


@router.post("/tokenize", responses={200: {"model": TokenizeResponse}})
@router.post("/v1/tokenize", responses={200: {"model": TokenizeResponse}})
@with_cancellation
async def tokenize(request: TokenizeRequest, raw_request: Request) -> Response:
    """The tokens of a text, or of messages to which the chat template is applied."""
    request.for_engine(raw_request.app.state.engine_client)
    result = await raw_request.app.state.serving_tokenization.create_tokenize(request, raw_request)
    return _respond(result, raw_request)


@router.post("/detokenize", responses={200: {"model": DetokenizeResponse}})
@router.post("/v1/detokenize", responses={200: {"model": DetokenizeResponse}})
@with_cancellation
async def detokenize(request: DetokenizeRequest, raw_request: Request) -> Response:
    """The text of tokens."""
    result = await raw_request.app.state.serving_tokenization.create_detokenize(request, raw_request)
    return _respond(result, raw_request)


def _respond(result: TokenizeResponse | DetokenizeResponse | ErrorResponse, raw_request: Request) -> JSONResponse:
    if isinstance(result, ErrorResponse):
        return error_response(result, raw_request)
    return JSONResponse(result.model_dump())
