"""The state of the server: whether it accepts requests, and how many are running."""

import asyncio
from collections.abc import Callable
from enum import Enum

from . import metrics
from .errors import InvalidRequest, Unavailable

#: `Retry-After`, in seconds, of a request that is refused because all slots are taken.
_RETRY_WHEN_FULL = 5


class ServerStage(Enum):
    """Stages of a server's life, in order."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


#: Why requests are refused in each stage, after how many seconds to retry, and the reason's short name.
_UNAVAILABLE = {
    ServerStage.LOADING: ("the model is still loading", 5, "loading"),
    ServerStage.DRAINING: ("the server is shutting down", 10, "draining"),
    ServerStage.FAILED: ("the engine has died, and the server is exiting", 10, "engine_dead"),
}


class ServerState:
    """State of the whole server.

    Attributes:
        stage: as `/readyz` reports it.
        running: requests that are being answered.
        sequences: slots that these requests hold: one for each reply to each prompt, and one for text to tokenize.
        capacity: number of slots, for sequences that run or wait; None for no limit.
        cutting: whether running replies are being cut because the drain timeout is over.
        has_default_budget: whether requests without a budget get one.
        model_name: the name by which metrics know the model that a request names, or the served one for None; empty
            for a model that is not served.
    """

    def __init__(self, *, has_default_budget: bool = False) -> None:
        self._stage = ServerStage.LOADING
        self._has_failed: Callable[[], bool] = lambda: False
        self.running = 0
        self.sequences = 0
        self.capacity: int | None = None
        self.cutting = False
        self.has_default_budget = has_default_budget
        self.model_name: Callable[[str | None], str] = lambda requested: ""
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def stage(self) -> ServerStage:
        return ServerStage.FAILED if self._has_failed() else self._stage

    @stage.setter
    def stage(self, stage: ServerStage) -> None:
        self._stage = stage

    def watch(self, has_failed: Callable[[], bool]) -> None:
        """Ask the engine whether it is dead each time the stage is read."""
        self._has_failed = has_failed

    def admit(self, sequences: int = 0, *, steering: bool = False) -> None:
        """Check whether a request that needs this many slots is accepted. `begin` it before anything else is awaited.

        Args:
            steering: the request steers a running reply; such requests are accepted while the server drains.

        Raises:
            Unavailable: the request can be retried later.
            InvalidRequest: the request needs more slots than there are.
        """
        stage = self.stage
        if stage is not ServerStage.READY and not (steering and stage is ServerStage.DRAINING):
            raise Unavailable(*_UNAVAILABLE[stage])
        if self.capacity is None or self.sequences + sequences <= self.capacity:
            return
        if sequences > self.capacity:
            raise InvalidRequest("n", f"{sequences} sequences are more than the {self.capacity} accepted at once")
        raise Unavailable(f"{self.sequences} sequences are already running or waiting", _RETRY_WHEN_FULL)

    def begin(self, sequences: int = 0) -> None:
        """Count a request that was admitted, and take its slots."""
        self.running += 1
        self.sequences += sequences
        metrics.SEQUENCES.inc(sequences)
        self._idle.clear()

    def end(self, sequences: int = 0) -> None:
        """Undo `begin` once the request has ended."""
        self.running -= 1
        self.sequences -= sequences
        metrics.SEQUENCES.dec(sequences)
        if not self.running:
            self._idle.set()

    async def idle(self, within: float) -> bool:
        """Wait until nothing is running, for at most `within` seconds; whether nothing is running then."""
        try:
            async with asyncio.timeout(within):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
