"""Turns every exception into an error response in the shape of the API that was called: OpenAI's or Anthropic's."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from vllm.exceptions import VLLMError

from tenuto_decoding.errors import InvalidBudget, ThinkingError

from ..context import report_refusal
from ..error_response import refuse_body
from ..errors import Refusal, SteeringError
from ..paths import path_of
from ..vllm_compat import (
    AnthropicErrorResponse,
    ErrorInfo,
    ErrorResponse,
    create_error_response,
)
from .checked_body import describe
from .reading import completed, request_id

logger = logging.getLogger("vllm.tenuto")

_STATUSES = (400, 401, 404, 405, 408, 413, 415, 422, 429, 500, 501, 503)

#: The errors of every endpoint, for the API's description.
ERRORS: dict[int | str, dict[str, Any]] = {status: {"model": ErrorResponse} for status in _STATUSES}

#: The errors of endpoints for Anthropic's clients.
ANTHROPIC_ERRORS: dict[int | str, dict[str, Any]] = {status: {"model": AnthropicErrorResponse} for status in _STATUSES}

#: The response of an endpoint that can stream it.
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}

#: What FastAPI gives to its handlers for exceptions. `Exception` alone would do, but what only it matches is handled
#: outside of all middleware, so that metrics and the log would count a client's mistake as a crash.
_HANDLED = (
    HTTPException,
    RequestValidationError,
    ThinkingError,
    Refusal,
    VLLMError,
    ValueError,
    TypeError,
    OverflowError,
    NotImplementedError,
    Exception,
)


def install_error_handlers(app: FastAPI) -> None:
    """Have the application answer every exception with an error response."""
    for kind in _HANDLED:
        app.add_exception_handler(kind, _on_exception)


def error_response(error: ErrorResponse, request: Request, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response for an error that a serving object returns."""
    info = completed(error, request).error
    return _response(info, request, headers)


def _response(info: ErrorInfo, request: Request, headers: Mapping[str, str] | None) -> JSONResponse:
    body = refuse_body(path_of(request.scope), info.code, info.message, info.type, info.param)
    return JSONResponse(body, info.code, headers)


async def _on_exception(request: Request, error: Exception) -> JSONResponse:
    described = _describe(error)
    info = described.error
    if info.code >= HTTPStatus.INTERNAL_SERVER_ERROR or request.app.state.args.log_error_stack:
        logger.error("Request %s failed", request_id(request), exc_info=error)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException | Refusal) else {}
    if not isinstance(error, _HANDLED[:-1]):  # Starlette raises it again, and uvicorn closes the connection
        headers["Connection"] = "close"
    return _response(info, request, headers)


def _describe(error: Exception) -> ErrorResponse:
    if isinstance(error, RequestValidationError):
        ours = _thinking_error_in(error)
        if ours is None:
            return _of_problems(error.errors())
        error = ours
    if isinstance(error, Refusal):
        report_refusal(error.reason)
        return _error(HTTPStatus(error.status), str(error), error.kind, error.param)
    if isinstance(error, HTTPException):  # an unknown path (404), a wrong method (405)
        return _of_status(error.status_code, str(error.detail))
    if isinstance(error, SteeringError):
        return _of_status(error.status, str(error))
    if isinstance(error, ThinkingError):
        report_refusal("budget")
        field = error.field if isinstance(error, InvalidBudget) else None
        return _error(HTTPStatus.BAD_REQUEST, str(error), "BadRequestError", param=field)
    return create_error_response(error)


def _thinking_error_in(error: RequestValidationError) -> ThinkingError | None:
    """One of our errors, if a validator of the body raised it."""
    for problem in error.errors():
        cause = problem.get("ctx", {}).get("error") if isinstance(problem, dict) else None
        if isinstance(cause, ThinkingError):
            return cause
    return None


def _of_problems(problems: Sequence[Any]) -> ErrorResponse:
    """The error for a body that is not an object, or not JSON; `CheckedBody` refuses others."""
    field, reason = describe(list(problems))
    return _error(HTTPStatus.BAD_REQUEST, f"{field}: {reason}", "BadRequestError", param=field)


def _of_status(code: int, message: str) -> ErrorResponse:
    """An error whose type is its status in words: `NotFoundError`."""
    status = HTTPStatus(code)
    return _error(status, message, f"{status.phrase.replace(' ', '')}Error")


def _error(status: HTTPStatus, message: str, kind: str, param: str | None = None) -> ErrorResponse:
    return ErrorResponse(error=ErrorInfo(message=message, type=kind, param=param, code=status.value))
