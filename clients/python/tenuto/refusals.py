"""From a response that is no success to the error that says so."""

import time
from email.utils import parsedate_to_datetime

import httpx

from tenuto import parsing
from tenuto.errors import APIError, BadRequest, InvalidReply, NotFound, Overloaded, ServerError, Unauthorized
from tenuto.replies import Json


def refusal(response: httpx.Response) -> APIError:
    """The error of a response that has been read; bodies that are not OpenAI's error object are quoted."""
    try:
        details = error_object(parsing.load(response.content))
    except InvalidReply:
        details = {}
    return error_class(response.status_code)(
        details.get("message") or response.text[:200] or response.reason_phrase,
        status=response.status_code,
        type=details.get("type"),
        param=details.get("param"),
        code=details.get("code"),
        retry_after=retry_after(response.headers.get("Retry-After")),
    )


def error_class(status: int) -> type[APIError]:
    known = {400: BadRequest, 413: BadRequest, 422: BadRequest, 401: Unauthorized, 403: Unauthorized}
    known |= {404: NotFound, 429: Overloaded, 503: Overloaded}
    return known.get(status, ServerError if status >= 500 else APIError)


def error_object(value: Json) -> Json:
    """The `error` member, empty if there is none; vLLM answers a bad key with a plain string there."""
    error = value.get("error")
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def retry_after(header: str | None) -> float | None:
    """Seconds from now: HTTP allows a number and a date. What is neither counts as absent."""
    try:
        return max(0.0, float(header or ""))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header or "")
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
