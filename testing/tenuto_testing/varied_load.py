"""Requests of many kinds to one server, as different clients would send them, and what these count."""

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .client_counts import ChoiceCount, ClientCounts, of_choices, of_response
from .collected_reply import CollectedReply
from .random_requests import CHAT, Connection, connected
from .servers import MODEL_FOLDER

COMPLETIONS, RESPONSES, MESSAGES = "/v1/completions", "/v1/responses", "/v1/messages"
#: A prompt that has opened the thinking, as a chat template would.
PROMPT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<|im_start|>think\n"
#: What the server writes at the beginning of an answer that follows a cap: with it as stop string, there is no answer.
ANSWER_PREFIX = "Final Answer"

#: Kinds of requests that are answered: the endpoint, and fields in addition to the question.
KINDS: Sequence[tuple[str, Mapping[str, Any]]] = (
    (CHAT, {}),
    (CHAT, {"max_thinking_tokens": 20}),
    (CHAT, {"stream": True, "max_thinking_tokens": 60, "landing_tokens": 30}),
    (CHAT, {"n": 3, "temperature": 1.0, "max_thinking_tokens": 100}),
    (CHAT, {"stream": True, "num_waits": 2}),
    (CHAT, {"min_thinking_tokens": 150}),
    (CHAT, {"stream": True, "reasoning_effort": "low", "temperature": 0.7}),
    (COMPLETIONS, {"max_thinking_tokens": 25, "max_tokens": 100}),
    (RESPONSES, {"reasoning": {"effort": "high"}}),
    (MESSAGES, {"max_tokens": 400, "thinking": {"type": "enabled", "budget_tokens": 50}}),
    (CHAT, {"reasoning_effort": "none"}),
    (CHAT, {"max_thinking_tokens": "unlimited", "num_waits": 20, "max_tokens": 50}),
    (CHAT, {"max_thinking_tokens": 10, "stop": [ANSWER_PREFIX]}),
    (CHAT, {"stream": True, "n": 2, "reasoning_effort": "medium", "num_waits": 1, "temperature": 1.0}),
    (CHAT, {"min_thinking_tokens": 600, "wait_text": "", "loop_tokens": 24}),
)
#: Kinds that are refused, with the reason that the server counts.
REFUSED: Sequence[tuple[str, Mapping[str, Any], str]] = (
    (CHAT, {"max_thinking_tokens": -7}, "budget"),
    (CHAT, {"max_thinking_tokens": 10, "min_thinking_tokens": 20}, "budget"),
    (COMPLETIONS, {"temperature": "hot"}, "invalid"),
    (CHAT, {"model": "no-such-model"}, "unknown_model"),
    (CHAT, {"user": "x" * (5 << 20)}, "too_large"),
)
#: Long enough to be still running when it is steered or left.
LONG = {"stream": True, "min_thinking_tokens": 1500, "max_tokens": 2500}


def questions() -> list[str]:
    """Those that the built-in model was trained for."""
    return [json.loads(line)["question"] for line in (MODEL_FOLDER / "problems.jsonl").read_text().splitlines()]


@dataclass(slots=True)
class VariedLoad:
    """Requests to one server under one model name.

    Attributes:
        counts: of all requests that have ended.
    """

    url: str
    model: str
    seed: int = 0
    counts: ClientCounts = field(default_factory=ClientCounts)
    _questions: list[str] = field(default_factory=questions)
    _sent: int = 0

    async def replies(self, number: int, at_once: int) -> None:
        """Send requests of all kinds in turn and read their replies."""
        slots = asyncio.Semaphore(at_once)

        async def one(kind: int) -> None:
            async with slots:
                endpoint, fields = KINDS[kind % len(KINDS)]
                await self.reply(endpoint, fields)

        await asyncio.gather(*(one(self._sent + at) for at in range(number)))

    async def reply(self, endpoint: str, fields: Mapping[str, Any]) -> None:
        """Send one request, which must be answered."""
        body = self.body(endpoint, fields)
        async with connected(self.url) as connection:
            await connection.post(endpoint, body)
            await _expect(connection, 200, body)
            choices = await _read(connection, endpoint, body)
        self.counts.take(endpoint, body, iter(choices))

    async def refusals(self) -> None:
        """Send one of each kind that is refused."""
        for endpoint, fields, reason in REFUSED:
            body = self.body(endpoint, fields)
            async with connected(self.url) as connection:
                # A body that is too large is refused for its length, before it has arrived.
                await connection.post(endpoint, body, part=0.001 if reason == "too_large" else 1.0)
                status = await connection.status()
                assert status in (400, 404, 413), f"{status}, not refused for {reason}: {str(body)[:300]}"
            self.counts.requests[endpoint, "invalid"] += 1
            self.counts.rejections[reason] += 1

    async def steer(self, action: str, **more: object) -> None:
        """Steer a reply while it is thinking, and read it to its end."""
        body = self.body(CHAT, LONG)
        name = f"steered-{self.seed}-{self._sent}"
        async with connected(self.url) as connection:
            await connection.post(CHAT, body, name=name)
            await _expect(connection, 200, body)
            reply = CollectedReply()
            async for event in connection.events():
                reply.take(event)
                if not reply.steered and len(reply.ids.get(0, ())) > 20:
                    reply.steered.append(await self._send_steering(reply.id, {"action": action, **more}))
        assert reply.steered[0]["choices"][0]["applied"], reply.steered
        self.counts.take(CHAT, body, of_choices(reply, "unset"))
        self.counts.steered["think_on" if action == "think_until" else action, "applied"] += 1

    async def leave(self, phase: str) -> None:
        """Disconnect in a phase: `thinking` or `answer` of a stream, or `whole` for a reply that is not streamed."""
        fields = {**LONG, "stream": phase != "whole"}
        if phase == "answer":
            fields |= {"min_thinking_tokens": 0, "max_thinking_tokens": 5, "ignore_eos": True}
        body = self.body(CHAT, fields)
        async with connected(self.url) as connection:
            await connection.post(CHAT, body)
            if phase == "whole":
                await asyncio.sleep(0.3)
            else:
                await _follow_until(connection, "content" if phase == "answer" else "reasoning")
            connection.cut()
        self.counts.requests[CHAT, "cancelled"] += 1
        self.counts.cancellations[phase] += 1

    async def fill(self, slots: int) -> None:
        """Hold all slots of the server until a request is rejected for it, then disconnect.

        Args:
            slots: how many the server has; each request holds 8.
        """
        body = self.body(CHAT, {**LONG, "stream": False, "n": 8, "temperature": 1.0})
        holders = [asyncio.create_task(self._hold(body)) for _ in range(slots // 8)]
        try:
            for _ in range(500):
                await asyncio.sleep(0.02)
                if await self._is_rejected():
                    return
            raise AssertionError(f"no request was rejected while {slots} sequences ran")
        finally:
            for holder in holders:
                holder.cancel()
            await asyncio.gather(*holders, return_exceptions=True)
            self.counts.requests[CHAT, "cancelled"] += len(holders)
            self.counts.cancellations["whole"] += len(holders)

    def body(self, endpoint: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A request for the next question. Chats and completions return the ids of their tokens."""
        chance = random.Random(self.seed * 1_000_003 + self._sent)
        self._sent += 1
        question, body = chance.choice(self._questions), {"model": self.model, "temperature": 0.0}
        if endpoint == RESPONSES:
            return {**body, "input": question, **fields}
        if endpoint == COMPLETIONS:
            return {**body, "prompt": PROMPT.format(question), "return_token_ids": True, **fields}
        body["messages"] = [{"role": "user", "content": question}]
        if endpoint == CHAT:
            body |= {"return_token_ids": True, "seed": chance.randrange(1 << 30)}
        if fields.get("stream"):
            body["stream_options"] = {"include_usage": True}
        return {**body, **fields}

    async def _send_steering(self, reply: str, body: Mapping[str, Any]) -> dict[str, Any]:
        async with connected(self.url) as connection:
            await connection.post(f"/v1/requests/{reply}/thinking", dict(body))
            await _expect(connection, 200, body)
            answer: dict[str, Any] = json.loads(await connection.content())
            return answer

    async def _hold(self, body: dict[str, Any]) -> None:
        async with connected(self.url) as connection:
            try:
                await connection.post(CHAT, body)
                await _expect(connection, 200, body)
            finally:
                connection.cut()

    async def _is_rejected(self) -> bool:
        body = self.body(CHAT, {"max_thinking_tokens": 1, "max_tokens": 20})
        async with connected(self.url) as connection:
            await connection.post(CHAT, body)
            if await connection.status() == 503:
                self.counts.requests[CHAT, "rejected"] += 1
                self.counts.rejections["full"] += 1
                return True
            reply = CollectedReply()
            reply.take(json.loads(await connection.content()))
        self.counts.take(CHAT, body, of_choices(reply, "unset"))
        return False


async def _expect(connection: Connection, status: int, body: Mapping[str, Any]) -> None:
    found = await connection.status()
    assert found == status, f"{found} to {str(body)[:500]}: {await connection.content()!r}"


async def _follow_until(connection: Connection, name: str) -> None:
    """Read a stream until a chunk has text in the field `name` of its delta."""
    async for event in connection.events():
        if any(choice["delta"].get(name) for choice in event["choices"]):
            return
    raise AssertionError(f"the stream ended without any {name}")


async def _read(connection: Connection, endpoint: str, body: Mapping[str, Any]) -> list[ChoiceCount]:
    effort = body.get("reasoning_effort") or body.get("reasoning", {}).get("effort") or "unset"
    if endpoint in (RESPONSES, MESSAGES):
        return list(of_response(json.loads(await connection.content()), effort))
    reply = CollectedReply()
    if body.get("stream"):
        async for event in connection.events():
            assert "error" not in event, event
            reply.take(event)
    else:
        reply.take(json.loads(await connection.content()))
    return list(of_choices(reply, effort))
