"""What the server is up to: whether it takes work, and how much of it is running."""

import asyncio
from collections.abc import Callable
from enum import Enum

from . import metrics
from .errors import InvalidRequest, Unavailable

#: Seconds after which a client is asked to come back that is refused because all places are taken.
_WHILE_FULL = 5


class ServerStage(Enum):
    """Stages of a server's life, in their order."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


#: Why no work is taken, and after how many seconds another attempt is sensible.
_NOT_NOW = {
    ServerStage.LOADING: ("the model is still being loaded", 5),
    ServerStage.DRAINING: ("the server is shutting down", 10),
    ServerStage.FAILED: ("the engine has died, and the server ends with it", 10),
}


class ServerState:
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
        self._stage = ServerStage.LOADING
        self._has_failed: Callable[[], bool] = lambda: False
        self.running = 0
        self.sequences = 0
        self.capacity: int | None = None
        self.cutting = False
        self.has_default_budget = has_default_budget
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def stage(self) -> ServerStage:
        return ServerStage.FAILED if self._has_failed() else self._stage

    @stage.setter
    def stage(self, stage: ServerStage) -> None:
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
        if stage is not ServerStage.READY and not (order and stage is ServerStage.DRAINING):
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
