"""Every error in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from vllm.entrypoints.serve.engine.protocol import ErrorInfo, ErrorResponse
from vllm.entrypoints.serve.exception_handling.handlers.validation import validation_exception_handler
from vllm.entrypoints.serve.exception_handling.register import init_exception_handler

from tenuto_decoding.errors import InvalidBudget, ThinkingError

#: What every endpoint may answer instead of a reply, for the API's own description.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse} for status in (400, 401, 404, 405, 413, 422, 429, 500, 501, 503)
}

#: The reply of an endpoint that streams it if asked to.
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


def install_error_handlers(app: FastAPI) -> None:
    """vLLM's handlers for what the engine and its serving objects raise, ours for the rest."""
    init_exception_handler(app)
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(RequestValidationError)(_on_invalid_request)
    app.exception_handler(ThinkingError)(_on_our_error)


def error_response(error: Exception) -> JSONResponse:
    """The response to one of our errors."""
    param = error.field if isinstance(error, InvalidBudget) else None
    return _response(HTTPStatus.BAD_REQUEST, str(error), "BadRequestError", param=param)


def _response(
    status: HTTPStatus, message: str, kind: str, param: str | None = None, headers: Any = None
) -> JSONResponse:
    body = ErrorResponse(error=ErrorInfo(message=message, type=kind, param=param, code=status.value))
    return JSONResponse(body.model_dump(), status_code=status.value, headers=headers)


async def _on_our_error(request: Request, error: Exception) -> JSONResponse:
    return error_response(error)


async def _on_invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
    for problem in error.errors():
        cause = problem.get("ctx", {}).get("error") if isinstance(problem, dict) else None
        if isinstance(cause, ThinkingError):
            return error_response(cause)
    response: JSONResponse = await validation_exception_handler(request, error)
    return response


async def _on_http_exception(request: Request, error: HTTPException) -> JSONResponse:
    """Unknown paths (404), wrong methods (405) and what else Starlette or FastAPI refuse."""
    status = HTTPStatus(error.status_code)
    return _response(status, str(error.detail), status.phrase.replace(" ", "") + "Error", headers=error.headers)
