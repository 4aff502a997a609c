"""
Our exceptions:

* ServerError
  x StartupError       the server cannot start as asked; the message says what to change
  x GenerationFailed   a reply that was under way cannot go on
  x Refusal            a request that reaches no endpoint
    + Unauthorized     without a key that is known; 401
    + InvalidRequest   asks too much, or for what no request may say; 400
    + TooLarge         a body that is larger than the server takes; 413
    + TooSlow          a body that takes too long to come; 408
    + Unavailable      not now: still loading, shutting down, or too much to do; 503 with Retry-After

* tenuto_decoding.ThinkingError
  x SteeringError      a running reply cannot be steered; 409
    + NotRunning       there is none with that id; 404
"""

from tenuto_decoding.errors import ThinkingError


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


class InvalidRequest(Refusal):
    """A request that asks for more than the server gives for one, or says what is not for requests to say.

    Args:
        field: of the body, as the caller wrote it.
        reason: what is wrong with it: the value and the bound.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.param = field


class TooLarge(Refusal):
    """The body is larger than the server takes.

    Args:
        limit: in bytes.
    """

    status = 413
    kind = "RequestTooLargeError"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes, the most that this server takes (--max-body-bytes)")

    @property
    def headers(self) -> dict[str, str]:
        return {"Connection": "close"}  # what is left of the body is not worth reading


class TooSlow(Refusal):
    """The body did not come in the time for it.

    Args:
        seconds: that time.
    """

    status = 408
    kind = "RequestTimeoutError"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the body did not come within {seconds:g} seconds (--body-timeout)")

    @property
    def headers(self) -> dict[str, str]:
        return {"Connection": "close"}


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


class GenerationFailed(ServerError):
    """A reply that was under way cannot go on; the message says why."""


class SteeringError(ThinkingError):
    """A running reply that cannot be steered.

    Attributes:
        status: of the HTTP response.
    """

    status = 409


class NotRunning(SteeringError):
    """No reply with this id is running."""

    status = 404

    def __init__(self, reply_id: str) -> None:
        super().__init__(f"no reply with the id {reply_id[:200]!r} is running: it has ended, or never was")
