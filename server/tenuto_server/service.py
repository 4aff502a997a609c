"""What the server is up to: whether it takes work, and how much of it is running."""

import asyncio
import json
from collections.abc import Callable
from enum import Enum
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from . import metrics
from .bodies import Disconnected, Inbox, replay
from .errors import InvalidRequest, Refusal, Unavailable
from .journal import current_record
from .limits import GENERATING, MAX_DEPTH, Limits, check_body, count_places
from .refusals import refuse
from .scopes import path_of

#: Seconds after which a client is asked to come back that is refused because all places are taken.
_WHILE_FULL = 5

_GUARDED = ("/v1/", "/tokenize", "/detokenize")


class Stage(Enum):
    """Stages of a server's life, in their order."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


#: Why no work is taken, and after how many seconds another attempt is sensible.
_NOT_NOW = {
    Stage.LOADING: ("the model is still being loaded", 5),
    Stage.DRAINING: ("the server is shutting down", 10),
    Stage.FAILED: ("the engine has died, and the server ends with it", 10),
}


class Service:
    """State of the whole server.

    Attributes:
        stage: what `/readyz` tells.
        running: requests that are being answered.
        sequences: what they give the engine: a request with `n` replies, or with several prompts, counts for each; one
            that is only to be tokenized counts too.
        capacity: how many sequences are taken at once, running and waiting; None for any number.
        cutting: whether replies that still run are being cut, because the time for them is over.
        has_default_budget: whether requests that ask for no budget get one.
    """

    def __init__(self, *, has_default_budget: bool = False) -> None:
        self._stage = Stage.LOADING
        self._has_failed: Callable[[], bool] = lambda: False
        self.running = 0
        self.sequences = 0
        self.capacity: int | None = None
        self.cutting = False
        self.has_default_budget = has_default_budget
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def stage(self) -> Stage:
        return Stage.FAILED if self._has_failed() else self._stage

    @stage.setter
    def stage(self, stage: Stage) -> None:
        self._stage = stage

    def watch(self, has_failed: Callable[[], bool]) -> None:
        """Take the engine's word for whether it is dead, whenever it is asked for."""
        self._has_failed = has_failed

    def admit(self, sequences: int = 0, *, order: bool = False) -> None:
        """Whether a request is taken that comes to so many sequences. `begin` it before anything else is awaited.

        Args:
            order: it is an order to a reply that runs already, and those go on while the server shuts down.

        Raises:
            Unavailable: not now.
            InvalidRequest: never, as it is more than the server takes at once.
        """
        stage = self.stage
        if stage is not Stage.READY and not (order and stage is Stage.DRAINING):
            raise Unavailable(*_NOT_NOW[stage])
        if self.capacity is None or self.sequences + sequences <= self.capacity:
            return
        if sequences > self.capacity:
            raise InvalidRequest("n", f"{sequences} sequences are more than the {self.capacity} taken at once")
        raise Unavailable(f"{self.sequences} sequences are running and waiting already", _WHILE_FULL)

    def begin(self, sequences: int = 0) -> None:
        self.running += 1
        self.sequences += sequences
        metrics.SEQUENCES.inc(sequences)
        self._idle.clear()

    def end(self, sequences: int = 0) -> None:
        self.running -= 1
        self.sequences -= sequences
        metrics.SEQUENCES.dec(sequences)
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
    """ASGI middleware: lets requests in while the server takes them, and counts them to their last byte.

    Whatever the server is not willing to do is refused here, before the body is made into anything.
    """

    def __init__(self, app: ASGIApp, service: Service, limits: Limits) -> None:
        self._app, self._service, self._limits = app, service, limits
        self._inbox = Inbox(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not path_of(scope).startswith(_GUARDED):
            await self._app(scope, receive, send)
            return
        try:
            self._service.admit(order=_is_order(scope))
            body = await self._inbox.read(scope, receive)
            places = self._look_at(body, scope)
            self._service.admit(places, order=_is_order(scope))
        except Refusal as refusal:
            await refuse(refusal, scope, receive, send)
            return
        except Disconnected:
            return
        self._service.begin(places)
        try:
            await self._app(scope, replay(body, receive), send)
        finally:
            current_record().was_cut |= self._service.cutting
            self._service.end(places)

    def _look_at(self, body: bytes, scope: Scope) -> int:
        """Check what the body says, and note it; how many places it takes."""
        parsed = _parse(body)
        record = current_record()
        record.note(parsed, scope)
        check_body(parsed, self._limits)
        places = count_places(path_of(scope), parsed)
        record.sequences = places if path_of(scope) in GENERATING else 0
        return places


def _is_order(scope: Scope) -> bool:
    """Whether it is `POST /v1/requests/{id}/thinking`."""
    path = path_of(scope)
    return path.startswith("/v1/requests/") and path.endswith("/thinking")


def _parse(body: bytes) -> Any:
    """The body's JSON; None for what is none, which the endpoint says better."""
    try:
        return json.loads(body)
    except RecursionError:
        raise InvalidRequest("body", f"is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError:
        return None
