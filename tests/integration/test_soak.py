"""Requests with random budgets, many of them cancelled: each ends once, and nothing of it remains.

500 random requests in the short form, 4,000 in the long form.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import psutil
import pytest

from tenuto_testing.random_requests import CHAT, Connection, RandomRequests, chat_body, connected, outcomes
from tenuto_testing.reply_counter import ReplyCounter
from tenuto_testing.servers import RunningServer

REQUESTS, LONG_REQUESTS = 500, 4000
AT_ONCE = 64
DISCONNECTED_IN_EACH_PHASE = 100
#: Caches, pools and counters may grow by this much; a thousand replies that are kept with their tokens take more.
GROWTH_BYTES = 6 << 20
#: In the workers, oneDNN keeps a kernel for each shape of a batch: up to 1,024 of them, some tens of kilobytes each.
WORKER_GROWTH_BYTES = 96 << 20


async def in_turn(works: list[Callable[[], Awaitable[None]]]) -> None:
    """All of them, AT_ONCE at a time."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(work: Callable[[], Awaitable[None]]) -> None:
        async with slots:
            await work()

    await asyncio.gather(*(one(work) for work in works))


def resident(server: RunningServer) -> Counter[bool]:
    """Resident bytes of the workers (True) and of the server's other processes (False)."""
    bytes_by_kind: Counter[bool] = Counter()
    for process in (psutil.Process(server.process.pid), *server.descendants()):
        bytes_by_kind["Worker" in process.name()] += process.memory_info().rss
    return bytes_by_kind


def assert_idle(server: RunningServer) -> None:
    """Wait until no request runs or waits, and none holds a slot or memory of the engine."""
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
    server.wait_until(lambda: not any(server.gauge(name) for name in names), seconds=30)
    server.wait_until(lambda: "\ntenuto_sequences 0.0\n" in server.get("/metrics").text, seconds=30)


LONG = {"min_thinking_tokens": 1500, "max_tokens": 2000, "stream": True}

Leave = Callable[[Connection, dict[str, Any]], Awaitable[None]]


async def while_sending(connection: Connection, body: dict[str, Any]) -> None:
    await connection.post(CHAT, body, part=0.6)


async def before_the_reply(connection: Connection, body: dict[str, Any]) -> None:
    await connection.post(CHAT, body)


async def while_thinking(connection: Connection, body: dict[str, Any]) -> None:
    await connection.post(CHAT, body)
    assert await connection.wait_for(b'"reasoning":')


async def while_answering(connection: Connection, body: dict[str, Any]) -> None:
    shorter = {**body, "min_thinking_tokens": 0, "max_thinking_tokens": 3}
    await connection.post(CHAT, shorter | {"ignore_eos": True, "max_tokens": 1500})
    assert await connection.wait_for(b'"content":')


async def while_a_whole_reply_is_made(connection: Connection, body: dict[str, Any]) -> None:
    await connection.post(CHAT, body | {"stream": False, "n": 2})
    await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "leave",
    [while_sending, before_the_reply, while_thinking, while_answering, while_a_whole_reply_is_made],
    ids=lambda leave: leave.__name__,
)
async def test_nothing_remains_of_clients_that_disconnect(
    server: RunningServer, questions: list[str], leave: Leave
) -> None:
    async def disconnect(question: str) -> None:
        async with connected(server.url) as connection:
            await leave(connection, chat_body(question, **LONG))
            connection.cut()

    await in_turn([lambda at=at: disconnect(questions[at]) for at in range(DISCONNECTED_IN_EACH_PHASE)])  # type: ignore[misc]
    assert_idle(server)
    assert server.chat(**chat_body(questions[0], max_thinking_tokens=5)).json()["choices"][0]["thinking"]["tokens"] == 5


async def test_random_requests_have_one_outcome_each(
    server: RunningServer, counter: ReplyCounter, questions: list[str], is_long: bool
) -> None:
    number = LONG_REQUESTS if is_long else REQUESTS
    sent, earlier = RandomRequests(server.url, questions, counter), outcomes(server.get("/metrics").text)
    await in_turn([partial(sent.one, seed) for seed in range(number // 2)])
    assert_idle(server)
    before = resident(server)
    await in_turn([partial(sent.one, seed) for seed in range(number // 2, number)])
    assert_idle(server)
    counted = outcomes(server.get("/metrics").text) - earlier
    assert set(counted) <= {"ok", "invalid", "cancelled"}
    assert counted["ok"] >= sent.endings["answered"]
    assert counted["invalid"] >= sent.endings["refused"]
    # A client that disconnects at once may do so before the server has read its request.
    assert number - sent.unseen <= counted.total() <= number
    assert sent.endings.total() == number
    assert min(sent.endings.values()) > number // 20
    assert sent.steering["applied"] > number // 100
    after = resident(server)
    assert after[False] - before[False] < GROWTH_BYTES
    assert after[True] - before[True] < WORKER_GROWTH_BYTES
