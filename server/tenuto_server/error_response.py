"""Refusals of requests before an endpoint sees them, in the shape of the API that was called."""

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from .context import report_refusal
from .errors import Refusal
from .paths import find_endpoint, path_of

#: Anthropic's error types, by HTTP status.
_ANTHROPIC_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def refuse_body(path: str, status: int, message: str, kind: str, param: str | None = None) -> dict[str, object]:
    """The body of an error: OpenAI's shape, and Anthropic's below `/v1/messages`, with a `param` only if given."""
    if find_endpoint(path).is_anthropic:
        anthropic_kind = _ANTHROPIC_KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
        field = {} if param is None else {"param": param}
        return {"type": "error", "error": {"type": anthropic_kind, "message": message, **field}}
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


async def refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the refusal as the response."""
    report_refusal(refusal.reason)
    body = refuse_body(path_of(scope), refusal.status, str(refusal), refusal.kind, refusal.param)
    await JSONResponse(body, refusal.status, refusal.headers)(scope, receive, send)
