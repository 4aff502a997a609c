"""Requests of many kinds to one server, as different clients would send them, and what these count."""

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from .client_counts import ChoiceCount, ClientCounts, of_choices, of_response
from .collected_reply import CollectedReply
from .random_requests import CHAT, Connection, connected
from .servers import MODEL_FOLDER, NO_TLS

COMPLETIONS, RESPONSES, MESSAGES = "/v1/completions", "/v1/responses", "/v1/messages"
#: A prompt that has opened the thinking, as a chat template would.
PROMPT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<|im_start|>think\n"
#: What every answer begins with after a cap, once it is introduced: with it as stop string, there is no answer.
BEGINNING = " "

#: Instructions that fill whole blocks of the engine's cache, so that all requests but the first find them there.
SYSTEM = {"role": "system", "content": "You check bills of a restaurant. Add up all numbers, one after another. " * 4}

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
    (CHAT, {"max_thinking_tokens": 10, "stop": [BEGINNING]}),
    (CHAT, {"stream": True, "n": 2, "reasoning_effort": "medium", "num_waits": 1, "temperature": 1.0}),
    (CHAT, {"min_thinking_tokens": 600, "wait_text": "", "loop_tokens": 24}),
    (CHAT, {"messages": [SYSTEM], "max_thinking_tokens": 80}),
)
#: Kinds that are refused, with the reason that the server counts.
REFUSED: Sequence[tuple[str, Mapping[str, Any], str]] = (
    (CHAT, {"max_thinking_tokens": -7}, "budget"),
    (CHAT, {"max_thinking_tokens": 10, "min_thinking_tokens": 20}, "budget"),
    (COMPLETIONS, {"temperature": "hot"}, "invalid"),
    (CHAT, {"model": "no-such-model"}, "unknown_model"),
    (CHAT, {"user": "x" * (5 << 20)}, "too_large"),
)
#: Long enough to be still running when it is steered or left. A model whose thinking is cut may write to its limit.
LONG = {"stream": True, "min_thinking_tokens": 400, "max_tokens": 600}


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
            await connection.content()
        assert reply.steered[0]["choices"][0]["applied"], reply.steered
        self.counts.take(CHAT, body, of_choices(reply, body, action))
        self.counts.requests["other", "ok"] += 1
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

    async def fill(self, slots: int, seconds: float = 0.0) -> None:
        """Take all slots of the server until a request is rejected for it, then disconnect the others.

        Returns when all slots are free again.

        Args:
            slots: how many the server has, a multiple of 8; each request takes 8.
            seconds: from the rejection to the disconnects.
        """
        body = self.body(CHAT, {**LONG, "stream": False, "n": 8, "temperature": 1.0})
        holders = [asyncio.create_task(self._hold(body)) for _ in range(slots // 8 + 1)]
        done, held = await asyncio.wait(holders, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        assert done, f"no request was rejected while {slots} slots were requested"
        await asyncio.sleep(seconds)
        for holder in held:
            holder.cancel()
        await asyncio.gather(*holders, return_exceptions=True)
        await self._until_free()

    def body(self, endpoint: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A request for the next question. Chats and completions return the ids of their tokens."""
        question = random.Random(self.seed * 1_000_003 + self._sent).choice(self._questions)
        self._sent += 1
        body: dict[str, Any] = {"model": self.model, "temperature": 0.0}
        if endpoint == RESPONSES:
            return {**body, "input": question, **fields}
        if endpoint == COMPLETIONS:
            return {**body, "prompt": PROMPT.format(question), "return_token_ids": True, **fields}
        fields = {**fields, "messages": [*fields.get("messages", []), {"role": "user", "content": question}]}
        if endpoint == CHAT:
            # Without `seed`: vLLM's CPU worker fails where a seeded prompt takes several steps.
            body["return_token_ids"] = True
        if fields.get("stream"):
            body["stream_options"] = {"include_usage": True}
        return {**body, **fields}

    async def _send_steering(self, reply: str, body: Mapping[str, Any]) -> dict[str, Any]:
        async with connected(self.url) as connection:
            await connection.post(f"/v1/requests/{reply}/thinking", dict(body))
            await _expect(connection, 200, body)
            answer: dict[str, Any] = json.loads(await connection.content())
            return answer

    async def _until_free(self) -> None:
        async with httpx.AsyncClient(verify=NO_TLS) as client:
            for _ in range(300):
                if "\ntenuto_sequences 0.0\n" in (await client.get(f"{self.url}/metrics")).text:
                    return
                await asyncio.sleep(0.1)
        raise AssertionError("slots are still taken 30 s after their clients have left")

    async def _hold(self, body: dict[str, Any]) -> None:
        """Until the request is rejected, or this is cancelled."""
        async with connected(self.url) as connection:
            await connection.post(CHAT, body)
            try:
                status = await connection.status()
            except asyncio.CancelledError:
                connection.cut()
                self.counts.requests[CHAT, "cancelled"] += 1
                self.counts.cancellations["whole"] += 1
                raise
            assert status == 503, f"{status} while the slots were being filled"
            self.counts.requests[CHAT, "rejected"] += 1
            self.counts.rejections["full"] += 1


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
    if endpoint in (RESPONSES, MESSAGES):
        return list(of_response(json.loads(await connection.content()), body))
    reply = CollectedReply()
    if body.get("stream"):
        async for event in connection.events():
            assert "error" not in event, event
            reply.take(event)
        # Up to its last byte: a client that leaves before it has disconnected, for the server.
        await connection.content()
    else:
        reply.take(json.loads(await connection.content()))
    return list(of_choices(reply, body))
