"""The workers are told what is over: soon, many at once, and whatever becomes of the telling."""

import asyncio
import logging
from typing import Any

import pytest
from vllm.v1.engine.exceptions import EngineDeadError

from tenuto_server.engine import worker_calls
from tenuto_server.engine.worker_calls import Departures


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_calls, "_FORGET_PAUSE", 0.01)


class Workers:
    """What they were told; the first errors come before they listen."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.told: list[list[str]] = []

    async def call(self, method: str, *arguments: Any) -> list[Any]:
        assert method == "thinking_forget"
        if self.errors:
            raise self.errors.pop(0)
        (names,) = arguments
        self.told.append(names)
        return [None]


async def settled(left: Departures) -> None:
    assert left._telling is not None
    await left._telling


async def test_all_that_left_meanwhile_are_told_in_one_call() -> None:
    workers = Workers()
    left = Departures(workers.call)
    for name in ("a", "b", "c"):
        left.add(name)
    assert workers.told == []
    await settled(left)
    left.add("d")
    await settled(left)
    assert workers.told == [["a", "b", "c"], ["d"]]


async def test_those_who_leave_during_a_call_are_told_with_the_next() -> None:
    workers = Workers()
    left = Departures(workers.call)

    async def call(method: str, *arguments: Any) -> list[Any]:
        if not workers.told:
            left.add("late")
            await asyncio.sleep(0)
        return await workers.call(method, *arguments)

    left._call = call
    left.add("early")
    await settled(left)
    assert workers.told == [["early"], ["late"]]


async def test_a_failure_is_logged_and_the_next_are_told_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers(RuntimeError("once"))
    left = Departures(workers.call)
    logger = logging.getLogger("vllm.tenuto")
    logger.addHandler(caplog.handler)
    try:
        left.add("a")
        await settled(left)
        left.add("b")
        await settled(left)
    finally:
        logger.removeHandler(caplog.handler)
    assert workers.told == [["b"]]
    messages = {record.getMessage() for record in caplog.records}  # twice, where the logger propagates
    assert messages == {"The engine could not be told that 1 request(s) are over"}


async def test_a_dead_engine_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    left = Departures(Workers(EngineDeadError()).call)
    left.add("a")
    await settled(left)
    assert not caplog.records
