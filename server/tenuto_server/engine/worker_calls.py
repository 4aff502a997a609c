"""What the engine's workers know of sequences, asked for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from vllm.v1.engine.exceptions import EngineDeadError

from tenuto_decoding.worker_messages import SequenceReport, Steer

logger = logging.getLogger("vllm.tenuto")

#: Calls a method of the worker extension; gives one result for each engine: the longest or largest of its workers'.
Call = Callable[..., Awaitable[list[Any]]]


async def read_reports(requests: Sequence[str], call: Call) -> list[list[SequenceReport]]:
    """For each request, named by its `REQUEST_KEY`: the reports of its sequences, from all engines."""
    engines = [engine for engine in await call("thinking_reports", list(requests)) if engine]
    return [
        [
            SequenceReport(ids, fires, [Steer(*steer) for steer in steers])
            for engine in engines
            for ids, fires, steers in engine[place]
        ]
        for place in range(len(requests))
    ]


#: How long requests are gathered that nobody waits for yet, in seconds for each reply that runs: all of these are held
#: up by a call, so the more there are, the fewer calls there may be. And at most.
_PAUSE, _LONGEST_PAUSE = 0.01, 1.0


class Reports:
    """Reads the reports of replies that end. One call is under way at a time, and asks for all that came meanwhile.

    Each call takes the workers a moment between two steps, and replies often end together.

    Args:
        call: calls a method of the worker extension.
        count_running: how many replies run.
    """

    def __init__(self, call: Call, count_running: Callable[[], int]) -> None:
        self._call, self._count_running = call, count_running
        self._waiting: dict[str, asyncio.Future[list[SequenceReport]]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    async def of(self, request: str, *, soon: bool = False) -> list[SequenceReport]:
        """The reports of a request's sequences as they are now. Raises what the call raises.

        Args:
            soon: nobody waits for them yet, so they are asked for together with those that come within a moment.
        """
        if not soon:
            self.hurry()
        if request not in self._waiting:
            self._waiting[request] = asyncio.get_running_loop().create_future()
        found = self._waiting[request]
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        return await asyncio.shield(found)  # whoever gives up leaves the others theirs

    def hurry(self) -> None:
        """Somebody waits now for what was to be had soon."""
        self._hurry.set()

    async def _ask(self) -> None:
        while self._waiting:
            if not self._hurry.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(_PAUSE * self._count_running(), _LONGEST_PAUSE)):
                        await self._hurry.wait()
            self._hurry.clear()
            asked, self._waiting = self._waiting, {}
            try:
                reports = await read_reports(list(asked), self._call)
            except Exception as error:
                for found in asked.values():
                    found.set_exception(error)
                    found.exception()  # it was told, also where nobody waits any more
            else:
                for found, own in zip(asked.values(), reports, strict=True):
                    found.set_result(own)


#: How long names are gathered before the workers are told, in seconds: each telling takes them a moment between steps.
_FORGET_PAUSE = 1.0


class Departures:
    """Tells the workers of all that have left, soon and many at once. Nobody waits for it.

    Args:
        call: calls a method of the worker extension.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._names: list[str] = []
        self._telling: asyncio.Task[None] | None = None

    def add(self, name: str) -> None:
        """A request, as the workers know it, is over: nobody will ask for its report, and it cannot come back."""
        self._names.append(name)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        while self._names:
            await asyncio.sleep(_FORGET_PAUSE)
            names, self._names = self._names, []
            try:
                await self._call("thinking_forget", names)
            except EngineDeadError:
                return  # and nothing is kept any more
            except Exception:
                logger.exception("The engine could not be told that %d request(s) are over", len(names))
