"""
Our exceptions:

* ServerError
  x StartupError       the server cannot start as asked; the message says what to change
  x Refusal            a request that reaches no endpoint
    + Unauthorized     without a key that is known; 401
    + Unavailable      not now: still loading, or shutting down; 503 with Retry-After
"""


class ServerError(Exception):
    """Root of what this package raises. What callers ask wrongly is a `tenuto_decoding.ThinkingError`."""


class StartupError(ServerError):
    """A combination of options that cannot work, found before the model is loaded."""


class Refusal(ServerError):
    """A request that is answered before an endpoint sees it.

    Attributes:
        status: of the HTTP response.
        kind: OpenAI's `type` of the error.
        param: the field of the request that is wrong, if it is one.
        headers: of the response, beside the usual ones.
    """

    status = 400
    kind = "BadRequestError"
    param: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {}


class Unauthorized(Refusal):
    """The request brings no key that opens the server."""

    status = 401
    kind = "AuthenticationError"

    def __init__(self) -> None:
        super().__init__("no valid API key: send one as `Authorization: Bearer KEY` or as `x-api-key: KEY`")

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Unavailable(Refusal):
    """The server takes no work now.

    Args:
        message: why.
        retry_after: seconds after which another attempt is sensible.
    """

    status = 503
    kind = "ServiceUnavailableError"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}
