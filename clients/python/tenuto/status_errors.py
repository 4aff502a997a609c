"""Turn a response whose status is not 2xx into an `APIError`."""

import time
from email.utils import parsedate_to_datetime

import httpx

from tenuto import parsing
from tenuto.errors import APIError, BadRequest, InvalidReply, NotFound, Overloaded, ServerError, Unauthorized
from tenuto.replies import Json

CLASSES: dict[int, type[APIError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    413: BadRequest,
    422: BadRequest,
    429: Overloaded,
    503: Overloaded,
}


def status_error(response: httpx.Response) -> APIError:
    """Return the error for a response whose body was read; a body without OpenAI's error object is quoted."""
    try:
        details = error_object(parsing.load_object(response.content))
    except InvalidReply:
        details = {}
    status = response.status_code
    error_class = CLASSES.get(status, ServerError if status >= 500 else APIError)
    return error_class(
        details.get("message") or response.text[:200] or response.reason_phrase,
        status=status,
        type=details.get("type"),
        param=details.get("param"),
        code=details.get("code"),
        retry_after=retry_after(response.headers.get("Retry-After")),
    )


def error_object(value: Json) -> Json:
    """Return the `error` member, or an empty object. vLLM sends a plain string there for a wrong API key."""
    error = value.get("error")
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def retry_after(header: str | None) -> float | None:
    """Return the seconds from now. HTTP allows a number or a date; anything else counts as absent."""
    try:
        return max(0.0, float(header or ""))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header or "")
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
