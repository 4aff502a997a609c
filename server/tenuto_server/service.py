"""What the server is up to: whether it takes work, and how much of it is running."""

import asyncio
from enum import Enum

from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import Unavailable
from .refusals import refuse

#: Seconds that a refused client is asked to wait.
_WHILE_LOADING, _WHILE_DRAINING = 5, 10


class Stage(Enum):
    """Stages of a server's life, in their order."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class Service:
    """State of the whole server.

    Attributes:
        stage: what `/readyz` tells.
        running: requests that are being answered.
        has_default_budget: whether requests that ask for no budget get one.
    """

    def __init__(self, *, has_default_budget: bool = False) -> None:
        self.stage = Stage.LOADING
        self.running = 0
        self.has_default_budget = has_default_budget
        self._idle = asyncio.Event()
        self._idle.set()

    def admit(self) -> None:
        """Raises Unavailable unless requests are taken."""
        if self.stage is Stage.LOADING:
            raise Unavailable("the model is still being loaded", _WHILE_LOADING)
        if self.stage is Stage.DRAINING:
            raise Unavailable("the server is shutting down", _WHILE_DRAINING)

    def begin(self) -> None:
        self.running += 1
        self._idle.clear()

    def end(self) -> None:
        self.running -= 1
        if not self.running:
            self._idle.set()

    async def idle(self, within: float) -> bool:
        """Wait until nothing is running, at most so many seconds; whether that came."""
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True


class Gate:
    """ASGI middleware: lets requests to `/v1` in while the server takes them, and counts them to their last byte."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        try:
            self._service.admit()
        except Unavailable as refusal:
            await refuse(refusal, scope, receive, send)
            return
        self._service.begin()
        try:
            await self._app(scope, receive, send)
        finally:
            self._service.end()
