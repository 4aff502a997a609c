"""Bodies of requests: read whole, within a limit, and given once more to whoever reads them next."""

from starlette.types import Message, Receive, Scope

from .errors import TooLarge


class Disconnected(Exception):
    """The client went away before its body had come."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body.

    Raises:
        TooLarge: as soon as it is known: by the Content-Length before anything is read, else by what has come.
        Disconnected: there is nobody left to answer.
    """
    if _announced(scope) > limit:
        raise TooLarge(limit)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        body += message.get("body", b"")
        if len(body) > limit:
            raise TooLarge(limit)
        if not message.get("more_body", False):
            return bytes(body)


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
