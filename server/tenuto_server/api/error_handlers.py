"""Every error in the shape that the endpoint's clients read: OpenAI's, or Anthropic's on the paths of its API."""

import json
from collections.abc import Awaitable, Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from vllm.entrypoints.anthropic.protocol import AnthropicErrorResponse
from vllm.entrypoints.serve.engine.protocol import ErrorInfo, ErrorResponse
from vllm.entrypoints.serve.exception_handling.handlers.validation import validation_exception_handler
from vllm.entrypoints.serve.exception_handling.register import init_exception_handler

from tenuto_decoding.errors import InvalidBudget, ThinkingError

from ..error_response import refuse_body
from ..errors import SteeringError
from ..paths import path_of

_STATUSES = (400, 401, 404, 405, 408, 413, 422, 429, 500, 501, 503)

#: What every endpoint may answer instead of a reply, for the API's own description.
ERRORS: dict[int | str, dict[str, Any]] = {status: {"model": ErrorResponse} for status in _STATUSES}

#: The same of endpoints for Anthropic's clients.
ANTHROPIC_ERRORS: dict[int | str, dict[str, Any]] = {status: {"model": AnthropicErrorResponse} for status in _STATUSES}

#: The reply of an endpoint that streams it if asked to.
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


def install_error_handlers(app: FastAPI) -> None:
    """vLLM's handlers for what the engine and its serving objects raise, ours for the rest."""
    init_exception_handler(app)
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(RequestValidationError)(_on_invalid_request)
    app.exception_handler(ThinkingError)(_on_our_error)
    for kind, handler in app.exception_handlers.items():
        if kind is not WebSocketRequestValidationError:
            app.exception_handlers[kind] = _shaping(handler)


def refused(error: ErrorResponse, request: Request) -> JSONResponse:
    """The response to an error that a serving object returns."""
    return _shaped(JSONResponse(error.model_dump(), status_code=error.error.code), request)


def error_response(error: Exception) -> JSONResponse:
    """The response to one of our errors."""
    if isinstance(error, SteeringError):
        status = HTTPStatus(error.status)
        return _response(status, str(error), status.phrase.replace(" ", "") + "Error")
    param = error.field if isinstance(error, InvalidBudget) else None
    return _response(HTTPStatus.BAD_REQUEST, str(error), "BadRequestError", param=param)


Handler = Callable[[Request, Any], Awaitable[JSONResponse]]


def _shaping(handler: Any) -> Handler:
    """The handler, with its response in the shape that belongs to the path."""

    @wraps(handler)
    async def shape(request: Request, error: Exception) -> JSONResponse:
        return _shaped(await handler(request, error), request)

    return shape


def _shaped(response: JSONResponse, request: Request) -> JSONResponse:
    error = json.loads(bytes(response.body))["error"]
    body = refuse_body(path_of(request.scope), response.status_code, error["message"], error["type"], error["param"])
    headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
    return JSONResponse(body, response.status_code, headers)


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
