"""
Our exceptions:

* ServingError
  x StartupError       the server cannot start with these options; the message says what to change
  x GenerationFailed   a running reply cannot continue
  x Refusal            a request is refused before it reaches an endpoint
    + MissingApiKey    it has no valid API key; 401
    + InvalidRequest   it exceeds a limit, or sets what no request may set; 400
    + UnknownModel     no model of this name is served; 404
    + TooLarge         its body is too large; 413
    + UnsupportedEncoding   its body is compressed in an unknown way; 415
    + TooSlow          its body takes too long to arrive; 408
    + Unavailable      the server is loading, shutting down or full; 503 with Retry-After

* tenuto_decoding.ThinkingError
  x SteeringError      a running reply cannot be steered; 409
    + NotRunning       no reply with that id is running; 404
"""

from tenuto_decoding.errors import ThinkingError


class ServingError(Exception):
    """Root of this package's errors, except those about a budget: they are `tenuto_decoding.ThinkingError`."""


class StartupError(ServingError):
    """Options that cannot work, found before the model is loaded."""


class Refusal(ServingError):
    """A request that is refused before an endpoint sees it.

    Attributes:
        status: of the HTTP response.
        kind: OpenAI's `type` of the error.
        reason: under which tenuto_rejected_requests_total counts it.
        param: the field of the request that is wrong, if any.
        headers: additional headers of the response.
    """

    status = 400
    kind = "BadRequestError"
    reason = "invalid"
    param: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {}


class MissingApiKey(Refusal):
    """The request has no valid API key."""

    status = 401
    kind = "AuthenticationError"
    reason = "unauthorized"

    def __init__(self) -> None:
        super().__init__("no valid API key: send one as `Authorization: Bearer KEY` or as `x-api-key: KEY`")

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class InvalidRequest(Refusal):
    """A request that exceeds a limit, or that sets what no request may set.

    Args:
        field: of the body, as the caller wrote it.
        reason: what is wrong with it: the value and the limit.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.param = field


class UnknownModel(Refusal):
    """No model or adapter of this name is served."""

    status = 404
    kind = "NotFoundError"
    reason = "unknown_model"
    param = "model"

    def __init__(self, name: str) -> None:
        super().__init__(f"the model {name[:200]!r} is not served here; GET /v1/models lists those that are")


class TooLarge(Refusal):
    """The body is larger than the server allows.

    Args:
        limit: in bytes.
    """

    status = 413
    kind = "RequestTooLargeError"
    reason = "too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes, the most that this server allows (--max-body-bytes)")

    @property
    def headers(self) -> dict[str, str]:
        return {"Connection": "close"}  # instead of reading the rest of the body


class UnsupportedEncoding(Refusal):
    """The body is compressed in a way that the server does not know.

    Args:
        given: the value of the header.
    """

    SUPPORTED = ("gzip", "deflate", "zstd")

    status = 415
    kind = "UnsupportedMediaTypeError"
    reason = "unsupported_encoding"
    param = "Content-Encoding"

    def __init__(self, given: str) -> None:
        supported = ", ".join(self.SUPPORTED)
        super().__init__(f"Content-Encoding: {given[:100]!r} is not supported: send one of {supported}, or none")

    @property
    def headers(self) -> dict[str, str]:
        return {"Accept-Encoding": ", ".join(self.SUPPORTED), "Connection": "close"}


class TooSlow(Refusal):
    """The body did not arrive in time.

    Args:
        seconds: the time limit.
    """

    status = 408
    kind = "RequestTimeoutError"
    reason = "too_slow"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the body did not arrive within {seconds:g} seconds (--body-timeout)")

    @property
    def headers(self) -> dict[str, str]:
        return {"Connection": "close"}


class Unavailable(Refusal):
    """The server cannot accept the request now.

    Args:
        message: why.
        retry_after: seconds after which to retry.
        reason: `loading`, `draining`, `engine_dead` or `full`.
    """

    status = 503
    kind = "ServiceUnavailableError"

    def __init__(self, message: str, retry_after: int, reason: str = "full") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reason = reason

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class GenerationFailed(ServingError):
    """A running reply cannot continue; the message says why."""


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
        super().__init__(f"no reply with the id {reply_id[:200]!r} is running: it has ended or never existed")
