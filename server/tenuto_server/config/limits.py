"""Limits for one request."""

from dataclasses import dataclass

from tenuto_decoding.budget import MAX_WAITS

DEFAULT_MAX_N = 8
DEFAULT_MAX_BODY_BYTES = 4 * 2**20
DEFAULT_BODY_SECONDS = 60.0

#: For the request line and all headers together, and for the number of headers.
DEFAULT_HEAD_BYTES = 64 * 2**10
DEFAULT_HEADERS = 256

#: How many bodies of the largest size may be arriving at once.
_INCOMING = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that one request may ask for.

    Attributes:
        body_bytes: size of its body.
        body_seconds: time in which the whole body must arrive.
        n: replies to one prompt.
        num_waits: waits in one reply.
        output_tokens: tokens of one reply; None for as many as the context leaves.
        fetches_media: whether `http` and `https` URLs of media are fetched (from the domains that vLLM allows).
    """

    body_bytes: int = DEFAULT_MAX_BODY_BYTES
    body_seconds: float = DEFAULT_BODY_SECONDS
    n: int = DEFAULT_MAX_N
    num_waits: int = MAX_WAITS
    output_tokens: int | None = None
    fetches_media: bool = False

    @property
    def incoming_bytes(self) -> int:
        """How much all bodies together may hold that have not arrived completely."""
        return _INCOMING * self.body_bytes
