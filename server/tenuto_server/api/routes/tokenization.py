"""`POST /tokenize` and `/detokenize`, also below `/v1`: vLLM's helpers as they are."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.tokenize.protocol import DetokenizeRequest, DetokenizeResponse, TokenizeResponse
from vllm.entrypoints.serve.utils.api_utils import validate_json_request, with_cancellation

from ..error_handlers import ERRORS, refused
from ..protocol import TokenizeChatRequest, TokenizeCompletionRequest
from ..thinking_reports import whole

router = APIRouter(tags=["tokenization"], dependencies=[Depends(validate_json_request)], responses=ERRORS)


@router.post("/tokenize", responses={200: {"model": TokenizeResponse}})
@router.post("/v1/tokenize", responses={200: {"model": TokenizeResponse}})
@with_cancellation
async def tokenize(request: TokenizeCompletionRequest | TokenizeChatRequest, raw_request: Request) -> Response:
    """The tokens of a text, or of what the chat template makes of messages."""
    result = await raw_request.app.state.serving_tokenization.create_tokenize(request, raw_request)
    return refused(result, raw_request) if isinstance(result, ErrorResponse) else whole(result)


@router.post("/detokenize", responses={200: {"model": DetokenizeResponse}})
@router.post("/v1/detokenize", responses={200: {"model": DetokenizeResponse}})
@with_cancellation
async def detokenize(request: DetokenizeRequest, raw_request: Request) -> Response:
    """The text of tokens."""
    result = await raw_request.app.state.serving_tokenization.create_detokenize(request, raw_request)
    return refused(result, raw_request) if isinstance(result, ErrorResponse) else whole(result)
