"""
Our exceptions:

* ServerError
  x StartupError    the server cannot start as asked; the message says what to change
  x Unavailable     not now: still loading, or shutting down; 503 with Retry-After
"""


class ServerError(Exception):
    """Root of what this package raises. What callers ask wrongly is a `tenuto_decoding.ThinkingError`."""


class StartupError(ServerError):
    """A combination of options that cannot work, found before the model is loaded."""


class Unavailable(ServerError):
    """The server takes no work now.

    Args:
        message: why.
        retry_after: seconds after which another attempt is sensible.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after
