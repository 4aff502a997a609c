"""Requests that are over: the engine's workers are told, and keep nothing of them."""

import asyncio
import logging

from vllm.v1.engine.exceptions import EngineDeadError

from .reports import Call

logger = logging.getLogger("vllm.tenuto")

#: How long names are gathered before the workers are told, in seconds: each telling takes them a moment between steps.
_PAUSE = 1.0


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
            await asyncio.sleep(_PAUSE)
            names, self._names = self._names, []
            try:
                await self._call("thinking_forget", names)
            except EngineDeadError:
                return  # and nothing is kept any more
            except Exception:
                logger.exception("The engine could not be told that %d request(s) are over", len(names))
