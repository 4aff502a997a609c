"""
The exceptions that the client raises:

* TenutoError
  + APIError            the server returned an error: status, message, type, param, code
    - BadRequest        400, 413, 422: the request is invalid; `param` names the field
    - Unauthorized      401, 403: the API key is missing or wrong
    - NotFound          404: no such model or running reply, or not a Tenuto server
    - Overloaded        429, 503: the server cannot take the request now; `retry_after` in seconds if it said so
    - ServerError       any other 5xx
  + ConnectionFailed    no response: the connection was refused, dropped or timed out
  + InvalidReply        the response does not match the API (a proxy's error page, another kind of server)
  + BudgetIgnored       the server is not Tenuto: it replied without regard to the budget; `reply` is what it sent
  + StreamError         a stream failed after it had started: an error event, a dropped connection, no final event
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenuto.replies import Reply


class TenutoError(Exception):
    """Root of the tree above."""


class APIError(TenutoError):
    """The server returned an error. `type`, `param` and `code` come from OpenAI's error object; None if absent."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        type: str | None = None,  # noqa: A002 - the name in OpenAI's error object
        param: str | None = None,
        code: str | int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{message} (HTTP {status})")
        self.message = message
        self.status = status
        self.type = type
        self.param = param
        self.code = code
        self.retry_after = retry_after


class BadRequest(APIError):
    """The request is invalid; `param` names the field."""


class Unauthorized(APIError):
    """The API key is missing or wrong."""


class NotFound(APIError):
    """No such model, running reply or route."""


class Overloaded(APIError):
    """The server cannot take the request now: it is full, loading or shutting down."""


class ServerError(APIError):
    """The server failed."""


class ConnectionFailed(TenutoError):
    """No response: the connection was refused, dropped or timed out."""


class InvalidReply(TenutoError):
    """The response does not match the API."""


class BudgetIgnored(TenutoError):
    """The request set a budget, and the reply has no report: the server at this URL is not Tenuto and ignored it.

    `fields` are those of the budget. `reply` is the reply, which may be used without it; None after a stream.
    """

    def __init__(self, fields: Sequence[str], reply: "Reply | None" = None) -> None:
        super().__init__(
            f"the server ignored {', '.join(fields)}: its reply has no thinking report, so it is not a Tenuto server "
            "(or a proxy removed the report); check the URL, or leave the budget out"
        )
        self.fields = tuple(fields)
        self.reply = reply


class StreamError(TenutoError):
    """A stream failed after it had started. `type` and `code` come from the server's error event; None without one."""

    def __init__(self, message: str, *, type: str | None = None, code: str | int | None = None) -> None:  # noqa: A002
        super().__init__(message)
        self.type = type
        self.code = code
