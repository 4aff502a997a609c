"""Request bodies: read whole, within limits, and replayed to the endpoint."""

import asyncio

from starlette.types import Message, Receive, Scope

from ..config.limits import Limits
from ..errors import TooLarge, TooSlow, Unavailable
from .content_encoding import decode, encoding_of, replace_headers

_RETRY_SECONDS = 5


class Disconnected(Exception):
    """The client disconnected before its whole body had arrived."""


class BodyReader:
    """Reads request bodies before admission, limiting the time of each and the memory of all of them together."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0  # bytes of bodies that have not arrived completely

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, decoded if the client has compressed it; the headers then describe what is returned.

        Raises:
            TooLarge: as early as possible: by the Content-Length before anything is read, else by the bytes received or
                decoded.
            UnsupportedEncoding, InvalidRequest: it is compressed in an unknown way, or not as it says.
            TooSlow: the body took longer than allowed.
            Unavailable: the bodies that are arriving at the same time hold too much memory.
            Disconnected: no client is left to answer.
        """
        if _content_length(scope) > self._limits.body_bytes:
            raise TooLarge(self._limits.body_bytes)
        encoding = encoding_of(scope)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                body = await self._gather(receive)
        except TimeoutError:
            raise TooSlow(self._limits.body_seconds) from None
        if encoding is not None:
            body = decode(body, encoding, self._limits.body_bytes)
            replace_headers(scope, len(body))
        return body

    async def _gather(self, receive: Receive) -> bytes:
        body = bytearray()
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                piece = message.get("body", b"")
                body += piece
                self._held += len(piece)
                if len(body) > self._limits.body_bytes:
                    raise TooLarge(self._limits.body_bytes)
                if not message.get("more_body", False):
                    return bytes(body)
                if self._held > self._limits.incoming_bytes:
                    raise Unavailable("too many request bodies are arriving at once", _RETRY_SECONDS)
        finally:
            self._held -= len(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body in one piece, and then the messages after it."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again


def _content_length(scope: Scope) -> int:
    """The Content-Length, or 0 if absent. Non-numeric values were already rejected by the HTTP server."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0
