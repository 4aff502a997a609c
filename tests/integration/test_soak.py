"""Thousands of requests with random budgets, many of them given up on: each ends once, and nothing stays behind."""

import asyncio
import json
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest

from tests.integration.running_server import MODEL, RunningServer

REQUESTS, AT_ONCE = 2000, 64
GONE_IN_EACH_PHASE = 100
#: What caches, pools and counters may take on the way; a thousand replies that stay behind with their tokens take more.
GROWTH_BYTES = 6 << 20
#: In the workers, oneDNN keeps a kernel for each shape of a batch: up to 1,024 of them, some tens of kilobytes each.
WORKER_GROWTH_BYTES = 96 << 20


class Connection:
    """One HTTP request on a connection of its own, which can be cut at any byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def post(self, path: str, body: dict[str, Any], *, part: float = 1.0) -> None:
        """Send a request, or only the first part of its body."""
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode())
        self._writer.write(content[: int(len(content) * part)])
        await self._writer.drain()

    async def status(self) -> int:
        line = await self._reader.readline()
        return int(line.split()[1])

    async def wait_for(self, text: bytes) -> bool:
        """Read until the text has come; False when the reply ended without it."""
        seen = b""
        while text not in seen:
            piece = await self._reader.read(4096)
            if not piece:
                return False
            seen = seen[-len(text) :] + piece
        return True

    async def rest(self) -> bytes:
        return await self._reader.read()

    def cut(self) -> None:
        """Vanish, as a killed client does: a reset, no orderly close."""
        handle = self._writer.get_extra_info("socket")
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.close()


@asynccontextmanager
async def connected(server: RunningServer) -> AsyncIterator[Connection]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def in_turn(works: list[Callable[[], Awaitable[None]]]) -> None:
    """All of them, so many at once."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(work: Callable[[], Awaitable[None]]) -> None:
        async with places:
            await work()

    await asyncio.gather(*(one(work) for work in works))


def resident(server: RunningServer) -> Counter[bool]:
    """Bytes of the server and all that it started: those of the workers under True, of the others under False."""
    bytes_by_kind: Counter[bool] = Counter()
    for process in (psutil.Process(server.process.pid), *server.descendants()):
        bytes_by_kind["Worker" in process.name()] += process.memory_info().rss
    return bytes_by_kind


def assert_idle(server: RunningServer) -> None:
    """Nothing runs, waits, has a place or holds memory of the engine."""
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
    server.wait_until(lambda: not any(server.gauge(name) for name in names), seconds=30)
    server.wait_until(lambda: "\ntenuto_sequences 0.0\n" in server.get("/metrics").text, seconds=30)


def outcomes(server: RunningServer) -> Counter[str]:
    """How chat completions have ended so far, in the server's own count."""
    line = re.compile(r'^tenuto_requests_total\{endpoint="/v1/chat/completions",outcome="(\w+)"\} (\S+)$', re.MULTILINE)
    return Counter({outcome: int(float(count)) for outcome, count in line.findall(server.get("/metrics").text)})


def ask(question: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": question}], **more}


LONG = {"min_thinking_tokens": 1500, "max_tokens": 2000, "stream": True}

Leave = Callable[[Connection, dict[str, Any]], Awaitable[None]]


async def while_sending(connection: Connection, body: dict[str, Any]) -> None:
    await connection.post("/v1/chat/completions", body, part=0.6)


async def before_the_reply(connection: Connection, body: dict[str, Any]) -> None:
    await connection.post("/v1/chat/completions", body)


async def while_thinking(connection: Connection, body: dict[str, Any]) -> None:
    await connection.post("/v1/chat/completions", body)
    assert await connection.wait_for(b'"reasoning":')


async def while_answering(connection: Connection, body: dict[str, Any]) -> None:
    shorter = {**body, "min_thinking_tokens": 0, "max_thinking_tokens": 3}
    await connection.post("/v1/chat/completions", shorter | {"ignore_eos": True, "max_tokens": 1500})
    assert await connection.wait_for(b'"content":')


async def while_a_whole_reply_is_made(connection: Connection, body: dict[str, Any]) -> None:
    await connection.post("/v1/chat/completions", body | {"stream": False, "n": 2})
    await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "leave",
    [while_sending, before_the_reply, while_thinking, while_answering, while_a_whole_reply_is_made],
    ids=lambda leave: leave.__name__,
)
async def test_nothing_stays_behind_of_clients_that_vanish(
    server: RunningServer, questions: list[str], leave: Leave
) -> None:
    async def vanish(question: str) -> None:
        async with connected(server) as connection:
            await leave(connection, ask(question, **LONG))
            connection.cut()

    await in_turn([lambda at=at: vanish(questions[at]) for at in range(GONE_IN_EACH_PHASE)])  # type: ignore[misc]
    assert_idle(server)
    assert server.chat(**ask(questions[0], max_thinking_tokens=5)).json()["choices"][0]["thinking"]["tokens"] == 5


def random_budget(rng: random.Random) -> dict[str, Any]:
    """Fields that may be right or wrong; nothing of them may be ignored."""
    budget: dict[str, Any] = {}
    if rng.random() < 0.7:
        budget["max_thinking_tokens"] = rng.choice([0, 1, 5, 20, 40, "auto", 200, -1])
    if rng.random() < 0.4:
        budget["min_thinking_tokens"] = rng.choice([0, 1, 10, 30])
    if rng.random() < 0.4:
        budget["num_waits"] = rng.choice([0, 1, 3])
    if rng.random() < 0.2:
        budget["wait_text"] = rng.choice(["Hmm", ["Wait", ""], "Alternatively"])
    return budget


class Endings:
    """Sends random requests, checks every reply, and counts how they ended."""

    def __init__(self, server: RunningServer, questions: list[str]) -> None:
        self.counts: Counter[str] = Counter()
        self._server, self._questions = server, questions

    async def one(self, seed: int) -> None:
        rng = random.Random(seed)
        budget, stream = random_budget(rng), rng.random() < 0.5
        draw: dict[str, Any] = rng.choice(
            [{"temperature": 0, "n": 1}, {"temperature": 1.0, "n": 1}, {"temperature": 1.0, "n": 2}]
        )
        draw["max_tokens"] = rng.choice([60, 80])
        body = ask(rng.choice(self._questions), stream=stream, **draw, **budget)
        gives_up = rng.random() < 0.3
        async with connected(self._server) as connection:
            await connection.post("/v1/chat/completions", body)
            if gives_up:
                await asyncio.sleep(rng.random() * 0.2)
                connection.cut()
                self.counts["gone"] += 1
                return
            status = await connection.status()
            content = (await connection.rest()).partition(b"\r\n\r\n")[2]
        if status == 400:
            assert b'"param":"' in content, content
            self.counts["refused"] += 1
            return
        assert status == 200, content
        self._check(body, self._reports(content, stream))
        self.counts["answered"] += 1

    @staticmethod
    def _reports(content: bytes, stream: bool) -> list[dict[str, Any]]:
        if not stream:
            return [choice["thinking"] for choice in json.loads(content)["choices"]]
        lines = [line for line in content.split(b"\n") if line.startswith(b"data: ")]
        assert lines[-1].strip() == b"data: [DONE]"
        chunks = [json.loads(line[6:]) for line in lines[:-1]]
        ended = [choice for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
        return [choice["thinking"] for choice in ended]

    @staticmethod
    def _check(body: dict[str, Any], reports: list[dict[str, Any]]) -> None:
        assert len(reports) == body["n"]
        for report in reports:
            cap = report["max_thinking_tokens"]
            assert cap is None or report["tokens"] <= cap, (body, report)
            assert isinstance(body.get("max_thinking_tokens"), str) or cap == body.get("max_thinking_tokens")
            assert report["min_thinking_tokens"] == body.get("min_thinking_tokens", 0)
            if report["ended_by"] == "model":
                assert report["tokens"] >= report["min_thinking_tokens"], (body, report)
                assert report["waits"] >= body.get("num_waits", 0), (body, report)


async def test_thousands_of_random_requests_have_one_ending_each(server: RunningServer, questions: list[str]) -> None:
    endings, earlier = Endings(server, questions), outcomes(server)
    await in_turn([lambda seed=seed: endings.one(seed) for seed in range(REQUESTS // 2)])  # type: ignore[misc]
    assert_idle(server)
    before = resident(server)
    await in_turn([lambda seed=seed: endings.one(seed) for seed in range(REQUESTS // 2, REQUESTS)])  # type: ignore[misc]
    assert_idle(server)
    told = outcomes(server) - earlier
    assert set(told) <= {"ok", "invalid", "cancelled"}
    assert told["ok"] >= endings.counts["answered"]
    assert told["invalid"] >= endings.counts["refused"]
    # Who vanished at once may have done so before the server had read a word.
    assert REQUESTS - endings.counts["gone"] <= told.total() <= REQUESTS
    assert sum(endings.counts.values()) == REQUESTS
    assert min(endings.counts.values()) > REQUESTS // 20
    after = resident(server)
    assert after[False] - before[False] < GROWTH_BYTES
    assert after[True] - before[True] < WORKER_GROWTH_BYTES
