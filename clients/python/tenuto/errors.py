"""
Everything that this package raises about a server:

* TenutoError
  + APIError            the server answered and refused: status, message, type, param, code
    - BadRequest        400, 413, 422: the request is wrong; `param` names the field
    - Unauthorized      401, 403: the API key is missing or wrong
    - NotFound          404: no such model, or not a Tenuto server
    - Overloaded        429, 503: not now; `retry_after` seconds when the server said so
    - ServerError       any other 5xx
  + ConnectionFailed    no answer: refused, cut or timed out
  + InvalidReply        an answer that is not what the API promises (a proxy's page, another kind of server)
  + StreamError         a stream that broke off after it had begun: an error event inside it, a cut, or no proper end
"""


class TenutoError(Exception):
    """Root of the tree above."""


class APIError(TenutoError):
    """The server refused. `type`, `param` and `code` are those of the OpenAI error object, None where it had none."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        type: str | None = None,  # noqa: A002 - the wire's own name
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
    """The request is wrong; `param` names the field."""


class Unauthorized(APIError):
    """The API key is missing or wrong."""


class NotFound(APIError):
    """No such model or route."""


class Overloaded(APIError):
    """The server takes no more requests just now."""


class ServerError(APIError):
    """The server failed."""


class ConnectionFailed(TenutoError):
    """No answer came: refused, cut or timed out."""


class InvalidReply(TenutoError):
    """An answer that is not what the API promises."""


class StreamError(TenutoError):
    """A stream broke off. `type` and `code` are those of the server's error event, None where it sent none."""

    def __init__(self, message: str, *, type: str | None = None, code: str | int | None = None) -> None:  # noqa: A002
        super().__init__(message)
        self.type = type
        self.code = code
