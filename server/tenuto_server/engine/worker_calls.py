"""Calls of the worker extension: reading reports of sequences, and forgetting requests that are over."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from tenuto_decoding.worker_messages import SequenceReport, Steer

from ..vllm_compat import EngineDeadError

logger = logging.getLogger("vllm.tenuto")

#: Calls a method of the worker extension; gives one result for each engine: the longest or largest of its workers'.
Call = Callable[..., Awaitable[list[Any]]]

Answer = TypeVar("Answer")

#: How long the engine may take to answer a call, in seconds. It answers between two steps, which take milliseconds, but
#: a step may be the first of its size.
ANSWER_SECONDS = 10.0
_CHECK_SECONDS = 0.1

#: How long keys of requests that are over are gathered, in seconds: each call holds up the workers between two steps.
_FORGET_PAUSE = 1.0


async def answered(call: Awaitable[Answer], has_died: Callable[[], bool], seconds: float = ANSWER_SECONDS) -> Answer:
    """The engine's answer to a call: vLLM's own wait for it has no end if the engine dies.

    Reported with https://github.com/vllm-project/vllm/pull/56416.

    Args:
        has_died: asked at intervals while there is no answer.

    Raises:
        EngineDeadError: the engine has died.
        TimeoutError: it lives, but has not answered within that many seconds.
    """
    calling = asyncio.ensure_future(call)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    try:
        while not (await asyncio.wait((calling,), timeout=_CHECK_SECONDS))[0]:
            if has_died():
                raise EngineDeadError
            if loop.time() > deadline:
                raise TimeoutError(f"the engine has not answered within {seconds:g} s")
        return calling.result()
    finally:
        calling.cancel()


async def read_reports(keys: Sequence[str], call: Call) -> list[list[SequenceReport]]:
    """For each request, by the key under which the workers know it: the reports of its sequences, from all engines."""
    engines = [engine for engine in await call("thinking_reports", list(keys)) if engine]
    return [
        [
            SequenceReport(ids, fires, [Steer(*steer) for steer in steers])
            for engine in engines
            for ids, fires, steers in engine[place]
        ]
        for place in range(len(keys))
    ]


class ReportReader:
    """Reads the reports of replies that end. One call at a time is in flight; it asks for all that have come meanwhile.

    Each call holds up the workers between two steps, and replies often end together.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._waiting: dict[str, asyncio.Future[list[SequenceReport]]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def read(self, key: str) -> list[SequenceReport]:
        """The reports of a request's sequences as they are now. Raises what the call raises."""
        loop = asyncio.get_running_loop()
        found = self._waiting.setdefault(key, loop.create_future())
        if self._reading is None or self._reading.done():
            self._reading = loop.create_task(self._read_waiting())
        return await asyncio.shield(found)  # a caller that is cancelled does not cancel it for the others

    async def _read_waiting(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            try:
                reports = await read_reports(list(waiting), self._call)
            except Exception as error:
                for found in waiting.values():
                    found.set_exception(error)
                    found.exception()  # mark it as retrieved, also where every caller was cancelled
            else:
                for found, own in zip(waiting.values(), reports, strict=True):
                    found.set_result(own)


class Forgetter:
    """Has the workers forget requests that are over, many at once and soon. No caller waits for it."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._keys: list[str] = []
        self._calling: asyncio.Task[None] | None = None

    def add(self, key: str) -> None:
        """A request is over: its report will not be read again, and it cannot come back."""
        self._keys.append(key)
        if self._calling is None or self._calling.done():
            self._calling = asyncio.get_running_loop().create_task(self._forget())

    async def _forget(self) -> None:
        while self._keys:
            await asyncio.sleep(_FORGET_PAUSE)
            keys, self._keys = self._keys, []
            try:
                await self._call("thinking_forget", keys)
            except EngineDeadError:
                return  # and its memory is gone with it
            except Exception:
                logger.exception("The workers could not forget %d request(s) that are over", len(keys))
