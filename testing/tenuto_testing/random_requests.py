"""Random requests to a running server: valid and invalid budgets, steering of running replies, clients that disconnect.

Every reply is checked, and every request is counted by its outcome for the client.
"""

import asyncio
import json
import random
import re
import socket
import struct
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from .collected_reply import CollectedReply, check_reports
from .reply_counter import ReplyCounter
from .servers import MODEL

CHAT = "/v1/chat/completions"
LONGEST_LINE = 1 << 20
#: Messages that are refused at a cost that does not depend on their number.
WRONG_PARTS: list[list[Any]] = [[{}], [7], [{"role": "user", "content": [{}]}], [{"role": 7}]]


class Connection:
    """One HTTP request on its own connection, which can be cut at any byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def post(self, path: str, body: dict[str, Any], *, part: float = 1.0, name: str = "") -> None:
        """Send a request, or only the first part of its body; `name` is the request's id."""
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        head += f"X-Request-Id: {name}\r\n" if name else ""
        self._writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode())
        self._writer.write(content[: int(len(content) * part)])
        await self._writer.drain()

    async def status(self) -> int:
        line = await self._reader.readline()
        return int(line.split()[1])

    async def wait_for(self, text: bytes) -> bool:
        """Read until the text arrives; False if the reply ends without it."""
        seen = b""
        while text not in seen:
            piece = await self._reader.read(4096)
            if not piece:
                return False
            seen = seen[-len(text) :] + piece
        return True

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """The chunks of a stream. Raises AssertionError if it ends without its end mark."""
        line = b""
        async for line in self._reader:
            if line.startswith(b"data: {"):
                yield json.loads(line[6:])
            elif line.startswith(b"data: [DONE]"):
                return
        raise AssertionError(f"the stream broke off after {line!r}")

    async def content(self) -> bytes:
        """The rest of the reply, without headers."""
        return (await self._reader.read()).partition(b"\r\n\r\n")[2]

    def cut(self) -> None:
        """Disconnect as a killed client does: by a reset, not an orderly close."""
        handle = self._writer.get_extra_info("socket")
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=LONGEST_LINE)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


def outcomes(metrics: str) -> Counter[str]:
    """Chat completions by outcome so far, according to the server's metrics."""
    labels = rf'endpoint="{CHAT}",model_name="[^"]*",outcome="(\w+)"'
    counted: Counter[str] = Counter()
    for outcome, count in re.findall(rf"^tenuto_requests_total{{{labels}}} (\S+)$", metrics, re.MULTILINE):
        counted[outcome] += int(float(count))
    return counted


def chat_body(question: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": question}], **more}


def random_budget(rng: random.Random) -> dict[str, Any]:
    """Fields that may be valid or not; the server must not ignore any."""
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


def random_steering(rng: random.Random) -> dict[str, Any]:
    """A steering request, which may exceed the limits."""
    until = rng.choice([None, 0, 30, 60, 150, 10_000])
    return {"action": "answer_now"} if until is None else {"action": "think_until", "min_thinking_tokens": until}


class RandomRequests:
    """Sends requests, checks their replies, and counts.

    Attributes:
        endings: requests by outcome for the client: `answered`, `refused`, or `gone` (it disconnected before the end).
        unseen: how many of the latter had received nothing; the server may not have received their request either.
        steering: responses to steering requests by status, and how often they took effect in a choice, as `applied`.
        choices, tokens: totals over all replies that were checked.
    """

    def __init__(self, url: str, questions: Sequence[str], counter: ReplyCounter) -> None:
        self.endings: Counter[str] = Counter()
        self.unseen = 0
        self.steering: Counter[str] = Counter()
        self.choices = self.tokens = 0
        self._url, self._questions, self._counter = url, questions, counter

    async def one(self, seed: int) -> None:
        """Send one request, determined by the seed, and follow it to its end.

        Raises:
            AssertionError: if its reply is wrong.
        """
        rng = random.Random(seed)
        body, steered = self._random_body(rng)
        async with connected(self._url) as connection:
            if rng.random() < 0.3:
                self.unseen += not await self._disconnect(connection, body, rng)
                self.endings["gone"] += 1
                return
            name = uuid.uuid4().hex
            await connection.post(CHAT, body, name=name)
            status = await connection.status()
            if status == 400:
                content = await connection.content()
                assert b'"param":"' in content, f"{body} {content!r}"
                self.endings["refused"] += 1
                return
            self.endings["answered"] += 1
            assert status == 200, f"{status} to {body}: {await connection.content()!r}"
            reply = await self._read(connection, body["stream"], rng if steered else None)
        assert not steered or reply.id == f"chatcmpl-{name}", f"{reply.id} is not of {name}"
        self._check(body, reply)

    def _random_body(self, rng: random.Random) -> tuple[dict[str, Any], bool]:
        """A request body, and whether the reply will be steered; these are longer, to leave time for it."""
        draw: dict[str, Any] = rng.choice(
            [{"temperature": 0, "n": 1}, {"temperature": 1.0, "n": 1}, {"temperature": 1.0, "n": 2}]
        )
        body = chat_body(rng.choice(self._questions), stream=rng.random() < 0.5, return_token_ids=True, **draw)
        body |= random_budget(rng) | {"max_tokens": rng.choice([60, 80])}
        steered = rng.random() < 0.15
        if steered:
            body |= {"min_thinking_tokens": 100, "max_thinking_tokens": rng.choice([100, 150]), "max_tokens": 220}
            body["stream"] = True
        if body["stream"]:
            body["stream_options"] = {"include_usage": True}
        if not steered and rng.random() < 0.05:
            body["messages"] = rng.choice(WRONG_PARTS) * rng.choice([1, 100, 2000])
        return body, steered

    @staticmethod
    async def _disconnect(connection: Connection, body: dict[str, Any], rng: random.Random) -> bool:
        """Send a request and disconnect at a random time. Returns whether part of the reply had arrived."""
        when = rng.choice(["while sending", "after a moment", "thinking", "answering"])
        await connection.post(CHAT, body, part=0.6 if when == "while sending" else 1.0)
        if body["stream"] and when in ("thinking", "answering"):
            await connection.wait_for(b'"reasoning":' if when == "thinking" else b'"content":')
            connection.cut()
            return True
        await asyncio.sleep(rng.random() * 0.5)
        connection.cut()
        return False

    async def _read(self, connection: Connection, is_stream: bool, steering: random.Random | None) -> CollectedReply:
        reply = CollectedReply()
        if not is_stream:
            reply.take(json.loads(await connection.content()))
            return reply
        async for event in connection.events():
            assert "error" not in event, event
            reply.take(event)
            if steering is not None and steering.random() < 0.03:
                await self._steer(reply, random_steering(steering))
        return reply

    async def _steer(self, reply: CollectedReply, request: dict[str, Any]) -> None:
        async with connected(self._url) as connection:
            await connection.post(f"/v1/requests/{reply.id}/thinking", request)
            status = await connection.status()
            content = await connection.content()
        assert status in (200, 400, 404, 409), f"{status} to {request}: {content!r}"
        self.steering[str(status)] += 1
        if status == 200:
            reply.steered.append(json.loads(content))
            self.steering["applied"] += sum(bool(choice["applied"]) for choice in reply.steered[-1]["choices"])

    def _check(self, body: dict[str, Any], reply: CollectedReply) -> None:
        assert set(reply.thinking) == set(range(body["n"])), f"{body} {reply}"
        check_reports(self._counter, reply)
        tokens = sum(map(len, reply.ids.values()))
        assert reply.usage["completion_tokens"] == tokens, f"{tokens} ids: {body} {reply}"
        self.choices += len(reply.ids)
        self.tokens += tokens
        for index, report in reply.thinking.items():
            shown = f"{body} {report} {reply.steered}"
            applied = [
                choice["applied"]
                for result in reply.steered
                for choice in result["choices"]
                if choice["index"] == index
            ]
            assert None in applied or report.get("steered", 0) == applied.count(True), shown
            if True in applied or None in applied:
                continue
            cap, requested = report["max_thinking_tokens"], body.get("max_thinking_tokens")
            by_default = requested is None and report["set_by"].get("max_thinking_tokens") == "default"
            assert by_default or isinstance(requested, str) or cap == requested, shown
            assert report["min_thinking_tokens"] == body.get("min_thinking_tokens", 0), shown
            assert report["ended_by"] != "model" or report["waits"] >= body.get("num_waits", 0), shown
