"""Bodies of requests: read whole, within limits, and given once more to whoever reads them next."""

import asyncio

from starlette.types import Message, Receive, Scope

from ..config.limits import Limits
from ..errors import TooLarge, TooSlow, Unavailable

#: Seconds after which a client is asked to come back that is refused because too much is coming in.
_WHILE_MUCH_COMES = 5


class Disconnected(Exception):
    """The client went away before its body had come."""


class BodyReader:
    """Bodies on their way in, which hold no place yet: whoever sends them may take so long, and all of them so much."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0  # bytes of bodies that have not come to their ends

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            TooLarge: as soon as it is known: by the Content-Length before anything is read, else by what has come.
            TooSlow: it took longer than a body may.
            Unavailable: too much is coming in at once.
            Disconnected: there is nobody left to answer.
        """
        if _announced(scope) > self._limits.body_bytes:
            raise TooLarge(self._limits.body_bytes)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await self._gather(receive)
        except TimeoutError:
            raise TooSlow(self._limits.body_seconds) from None

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
                    raise Unavailable("too many bodies are coming in at once", _WHILE_MUCH_COMES)
        finally:
            self._held -= len(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body in one piece and goes on with what comes after it."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again


def _announced(scope: Scope) -> int:
    """The Content-Length; 0 without one. What is none of a number, the HTTP server has refused."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0
