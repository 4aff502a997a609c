"""How much one request may ask for."""

from dataclasses import dataclass

from tenuto_decoding.budget import MAX_WAITS

DEFAULT_MAX_N = 8
DEFAULT_MAX_BODY_BYTES = 4 * 2**20
DEFAULT_BODY_SECONDS = 60.0

#: For the request line and all headers together.
DEFAULT_HEAD_BYTES = 64 * 2**10


#: Bodies of the largest size that may be coming in at once.
_INCOMING = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may ask for at most.

    Attributes:
        body_bytes: size of its body.
        body_seconds: until the end of the body has come.
        n: replies to one prompt.
        num_waits: waits in one reply.
        output_tokens: tokens of one reply; None for what the context leaves.
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
        """What has come of all bodies together whose ends have not come."""
        return _INCOMING * self.body_bytes
