"""Reports are read for many replies at once, each caller gets its own, and requests that are over are forgotten."""

import asyncio
import logging
from typing import Any

import pytest
from vllm.v1.engine.exceptions import EngineDeadError

from tenuto_decoding.worker_messages import SequenceReport, Steer
from tenuto_server.engine import worker_calls
from tenuto_server.engine.worker_calls import Forgetter, ReportReader, answered, read_reports


class Workers:
    """Engines of which the first knows every request, by its name as ids, and the others know none."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls: list[list[str]] = []
        self.may_answer = asyncio.Event()

    async def call(self, method: str, *arguments: Any) -> list[Any]:
        assert method == "thinking_reports"
        (requests,) = arguments
        self.calls.append(requests)
        await self.may_answer.wait()
        if self.errors:
            raise self.errors.pop(0)
        known = [[(list(map(ord, request)), [1], [(1, 0, None)])] for request in requests]
        return [known, [[] for _ in requests], []]


def report(name: str) -> list[SequenceReport]:
    return [SequenceReport(list(map(ord, name)), [1], [Steer(1, 0, None)])]


async def test_reports_of_all_engines_are_merged() -> None:
    workers = Workers()
    workers.may_answer.set()
    assert await read_reports(["a", "bc"], workers.call) == [report("a"), report("bc")]


async def test_callers_that_come_during_a_call_share_the_next_one() -> None:
    workers = Workers()
    reports = ReportReader(workers.call)
    first = asyncio.create_task(reports.read("a"))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(reports.read(name)) for name in ("b", "c", "c", "a")]
    await asyncio.sleep(0.01)
    workers.may_answer.set()
    assert await first == report("a")
    assert await asyncio.gather(*others) == [report("b"), report("c"), report("c"), report("a")]
    assert workers.calls == [["a"], ["b", "c", "a"]]


async def test_an_error_reaches_the_callers_of_that_call_only() -> None:
    workers = Workers(RuntimeError("no"))
    workers.may_answer.set()
    reports = ReportReader(workers.call)
    with pytest.raises(RuntimeError, match="no"):
        await reports.read("a")
    assert await reports.read("a") == report("a")


async def test_a_cancelled_caller_does_not_cancel_the_others() -> None:
    workers = Workers()
    reports = ReportReader(workers.call)
    one, other = (asyncio.create_task(reports.read("a")) for _ in range(2))
    await asyncio.sleep(0.01)
    one.cancel()
    workers.may_answer.set()
    assert await other == report("a")
    assert one.cancelled()


async def late(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "answer"


async def test_an_answer_is_waited_for() -> None:
    assert await answered(late(0.3), lambda: False) == "answer"


@pytest.mark.parametrize(("dies", "error"), [(True, EngineDeadError), (False, TimeoutError)])
async def test_a_wait_ends_with_the_engine_and_after_a_time(dies: bool, error: type[Exception]) -> None:
    """vLLM's own call would wait for ever: nothing answers it once the engine is gone."""
    calling = asyncio.ensure_future(late(600))
    with pytest.raises(error):
        await asyncio.wait_for(answered(calling, lambda: dies, seconds=0.2), 10)
    await asyncio.sleep(0)
    assert calling.cancelled()


async def test_what_a_call_raises_reaches_its_caller() -> None:
    async def fail() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await answered(fail(), lambda: False)


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_calls, "_FORGET_PAUSE", 0.01)


class ForgettingWorkers:
    """Workers that record what they forget; the first calls raise the errors."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.forgotten: list[list[str]] = []

    async def call(self, method: str, *arguments: Any) -> list[Any]:
        assert method == "thinking_forget"
        if self.errors:
            raise self.errors.pop(0)
        (names,) = arguments
        self.forgotten.append(names)
        return [None]


async def settled(forgetter: Forgetter) -> None:
    assert forgetter._calling is not None
    await forgetter._calling


async def test_requests_that_end_within_a_moment_are_forgotten_in_one_call() -> None:
    workers = ForgettingWorkers()
    forgetter = Forgetter(workers.call)
    for name in ("a", "b", "c"):
        forgetter.add(name)
    assert workers.forgotten == []
    await settled(forgetter)
    forgetter.add("d")
    await settled(forgetter)
    assert workers.forgotten == [["a", "b", "c"], ["d"]]


async def test_requests_that_end_during_a_call_are_forgotten_with_the_next() -> None:
    workers = ForgettingWorkers()
    forgetter = Forgetter(workers.call)

    async def call(method: str, *arguments: Any) -> list[Any]:
        if not workers.forgotten:
            forgetter.add("late")
            await asyncio.sleep(0)
        return await workers.call(method, *arguments)

    forgetter._call = call
    forgetter.add("early")
    await settled(forgetter)
    assert workers.forgotten == [["early"], ["late"]]


async def test_a_failure_is_logged_and_later_requests_are_still_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    workers = ForgettingWorkers(RuntimeError("once"))
    forgetter = Forgetter(workers.call)
    logger = logging.getLogger("vllm.tenuto")
    logger.addHandler(caplog.handler)
    try:
        forgetter.add("a")
        await settled(forgetter)
        forgetter.add("b")
        await settled(forgetter)
    finally:
        logger.removeHandler(caplog.handler)
    assert workers.forgotten == [["b"]]
    messages = {record.getMessage() for record in caplog.records}  # twice, where the logger propagates
    assert messages == {"The workers could not forget 1 request(s) that are over"}


async def test_a_dead_engine_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    forgetter = Forgetter(ForgettingWorkers(EngineDeadError()).call)
    forgetter.add("a")
    await settled(forgetter)
    assert not caplog.records
