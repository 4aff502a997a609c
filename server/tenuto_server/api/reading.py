"""What fails before the engine has accepted a request is wrong in the request: an error 400 that names a field.

vLLM converts a body to a prompt in many steps, some of which fail with an `IndexError` or a `KeyError` where a request
is unusual. A fault of the server's own shows in the same way; the traceback is logged, with the id of the request.
"""

import logging
import traceback
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.routing import APIRoute
from vllm.exceptions import VLLMError

from tenuto_decoding.errors import ThinkingError

from ..context import current_request
from ..errors import InvalidRequest, ServingError
from ..paths import find_endpoint
from ..vllm_compat import NO_FIELDS, EngineDeadError, ErrorResponse, create_error_response
from .checked_body import field_in

logger = logging.getLogger("vllm.tenuto")

_MAX_REASON = 400
#: Errors that say themselves what they are, and those that are not about the request.
_OTHERS = (HTTPException, RequestValidationError, ServingError, ThinkingError, NotImplementedError, EngineDeadError)
#: Where a request has a grammar. Errors in one are in the words of the library that compiles it.
_GRAMMARS = ("structured_outputs", "response_format", "text", "output_config")
#: Fields whose names are words that errors about other fields have too.
_WORDS = frozenset({"model", "user", "n", "text", "input", "store"})


class ReadingRoute(APIRoute):
    """A route of requests to the engine. What it raises before the engine has accepted one is a refusal."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_reading(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                refusal = refusal_of_reading(error, request)
                if refusal is None:
                    raise
                raise refusal from error

        return handle_reading


def refusal_of_reading(error: Exception, request: Request) -> InvalidRequest | None:
    """The refusal for an exception that is about the request; None for a fault of the server or the engine.

    Errors of value are about the request wherever they are raised, others only until the engine was reached.
    """
    if isinstance(error, _OTHERS):
        return None
    if isinstance(error, VLLMError):
        if create_error_response(error).error.code != HTTPStatus.BAD_REQUEST:
            return None
        reason = str(error.args[0]) if error.args else ""  # str(error) has the whole value too
        return _refusal(getattr(error, "parameter", None), reason)
    if isinstance(error, ValueError):  # the words are about the request
        return _refusal(None, str(error))
    if current_request().reached_engine:
        return None
    logger.warning("Request %s could not be read", request_id(request), exc_info=error)
    field = "tools" if "tools" in current_request().fields and _is_about_tools(error) else None
    return _refusal(field, f"cannot be read ({type(error).__name__}: {str(error)[:_MAX_REASON]}): check its parts")


def completed(error: ErrorResponse, request: Request) -> ErrorResponse:
    """An error of a serving object's, which names a field and is a 400 where the engine was not reached."""
    info = error.error
    is_fault = info.code == HTTPStatus.INTERNAL_SERVER_ERROR and not current_request().reached_engine
    if not is_fault and info.code != HTTPStatus.BAD_REQUEST:
        return error
    if info.code == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("Request %s could not be read: %s", request_id(request), info.message)
    refusal = _refusal(info.param, info.message)
    changed = {"message": str(refusal), "param": refusal.param, "code": 400, "type": refusal.kind}
    return error.model_copy(update={"error": info.model_copy(update=changed)})


def request_id(request: Request) -> str:
    """The request's id, as it is in the log and in the response."""
    return request.headers.get("x-request-id", "?")


def _refusal(field: str | None, reason: str) -> InvalidRequest:
    current = current_request()
    conversation = find_endpoint(current.path).conversation
    if field in NO_FIELDS:
        field = conversation
    if field is None:
        given = [name for name in _GRAMMARS if name in current.fields and "grammar" in reason.lower()]
        named = dict.fromkeys(name for name in current.fields if name not in _WORDS)
        field = field_in(reason, named, given[0] if given else conversation)
    return InvalidRequest(field, reason[:_MAX_REASON].removeprefix(f"{field}: "))


def _is_about_tools(error: Exception) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return any("tool" in frame.name or "/tool" in frame.filename for frame in frames)
