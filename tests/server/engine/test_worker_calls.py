"""Reports are read for many replies at once, and everybody gets their own."""

import asyncio
from typing import Any

import pytest

from tenuto_decoding.worker_messages import SequenceReport, Steer
from tenuto_server.engine.worker_calls import Reports, read_reports


class Workers:
    """Engines that know, of every request, its name as ids; the second one knows of none."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.asked: list[list[str]] = []
        self.may_answer = asyncio.Event()

    async def call(self, method: str, *arguments: Any) -> list[Any]:
        assert method == "thinking_reports"
        (requests,) = arguments
        self.asked.append(requests)
        await self.may_answer.wait()
        if self.errors:
            raise self.errors.pop(0)
        known = [[(list(map(ord, request)), [1], [(1, 0, None)])] for request in requests]
        return [known, [[] for _ in requests], []]


def report(name: str) -> list[SequenceReport]:
    return [SequenceReport(list(map(ord, name)), [1], [Steer(1, 0, None)])]


async def test_what_all_engines_know_is_put_together() -> None:
    workers = Workers()
    workers.may_answer.set()
    assert await read_reports(["a", "bc"], workers.call) == [report("a"), report("bc")]


async def test_those_who_come_while_a_call_is_under_way_share_the_next_one() -> None:
    workers = Workers()
    reports = Reports(workers.call, lambda: 1)
    first = asyncio.create_task(reports.of("a"))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(reports.of(name)) for name in ("b", "c", "c", "a")]
    await asyncio.sleep(0.01)
    workers.may_answer.set()
    assert await first == report("a")
    assert await asyncio.gather(*others) == [report("b"), report("c"), report("c"), report("a")]
    assert workers.asked == [["a"], ["b", "c", "a"]]


async def test_those_who_can_wait_are_asked_for_together_and_with_the_first_who_cannot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers = Workers()
    workers.may_answer.set()
    reports = Reports(workers.call, lambda: 1)
    early = [asyncio.create_task(reports.of(name, soon=True)) for name in ("a", "b")]
    assert await asyncio.gather(*early) == [report("a"), report("b")]
    assert workers.asked == [["a", "b"]], "after a moment"
    monkeypatch.setattr("tenuto_server.engine.worker_calls._LONGEST_PAUSE", 3600)
    monkeypatch.setattr("tenuto_server.engine.worker_calls._PAUSE", 3600)
    early = [asyncio.create_task(reports.of(name, soon=True)) for name in ("c", "d")]
    await asyncio.sleep(0.01)
    assert workers.asked == [["a", "b"]]
    assert await reports.of("e") == report("e")
    assert workers.asked[1:] == [["c", "d", "e"]]
    assert await asyncio.gather(*early) == [report("c"), report("d")]
    waited_for = asyncio.create_task(reports.of("f", soon=True))
    await asyncio.sleep(0.01)
    reports.hurry()
    assert await waited_for == report("f")


async def test_an_error_reaches_those_who_asked_and_nobody_else() -> None:
    workers = Workers(RuntimeError("no"))
    workers.may_answer.set()
    reports = Reports(workers.call, lambda: 1)
    with pytest.raises(RuntimeError, match="no"):
        await reports.of("a")
    assert await reports.of("a") == report("a")


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    workers = Workers()
    reports = Reports(workers.call, lambda: 1)
    one, other = (asyncio.create_task(reports.of("a")) for _ in range(2))
    await asyncio.sleep(0.01)
    one.cancel()
    workers.may_answer.set()
    assert await other == report("a")
    assert one.cancelled()
