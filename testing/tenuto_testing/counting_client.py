"""A client of all endpoints that counts what it gets, for comparison with the server's metrics."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from .expected_metrics import ExpectedMetrics, SentChoice
from .servers import NO_TLS

CHAT, BATCH, COMPLETIONS = "/v1/chat/completions", "/v1/chat/completions/batch", "/v1/completions"
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"


class CountingClient:
    """Sends requests and counts their outcomes and choices.

    Attributes:
        expected: the counts.
    """

    def __init__(self, url: str, key: str, expected: ExpectedMetrics) -> None:
        self.expected = expected
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        headers = {"X-Api-Key": key}
        self.http = httpx.AsyncClient(base_url=url, headers=headers, timeout=200, verify=NO_TLS, limits=limits)

    async def answered(self, path: str, body: dict[str, Any], **counted: Any) -> list[SentChoice]:
        """A request, whole or streamed, whose choices all finish; `counted` as `ExpectedMetrics.finished`."""
        begin = time.monotonic()
        if body.get("stream"):
            async with self.http.stream("POST", path, json=body) as response:
                choices = choices_of_stream(path, [event async for event in events(response)])
        else:
            response = await self.http.post(path, json=body)
            assert response.status_code == 200, response.text
            choices = choices_of_reply(path, response.json())
        self.expected.request(path, "ok", model=counted.get("model"))
        self.expected.finished(choices, time.monotonic() - begin, **counted)
        return choices

    async def refused(
        self, status: int, reason: str, body: Any = None, *, path: str = CHAT, model: str = "", **options: Any
    ) -> None:
        """A request that is refused with this status for this reason; `options` as of `httpx`."""
        content = {"json": body} if body is not None else {}
        response = await self.http.request("POST", path, **content, **options)
        assert response.status_code == status, response.text
        outcome = {401: "unauthorized", 503: "rejected"}.get(status, "invalid")
        endpoint = path if path in (CHAT, BATCH, COMPLETIONS, RESPONSES, MESSAGES) else "other"
        self.expected.request(endpoint, outcome, model=model, reason=reason)

    @asynccontextmanager
    async def streaming(self, path: str, body: dict[str, Any], name: str) -> AsyncIterator[AsyncIterator[Any]]:
        """The events of a stream whose request has this id. Its connection is closed at the end of the context."""
        request = self.http.stream("POST", path, json=body | {"stream": True}, headers={"X-Request-Id": name})
        async with request as response:
            yield events(response)

    async def steer(self, name: str, **action: Any) -> dict[str, Any]:
        """Steer the chat whose request has this id. Its one choice is counted; the request as well."""
        response = await self.http.post(f"/v1/requests/chatcmpl-{name}/thinking", json=action)
        labels = {"model_name": self.expected.model, "action": action["action"].replace("think_until", "think_on")}
        if response.status_code != 200:
            self.expected.add("tenuto_steering_actions_total", **labels, outcome="refused")
            self.expected.request("other", "invalid", model="", reason="budget")
            return {}
        (choice,) = response.json()["choices"]
        outcome = {True: "applied", False: "late", None: "pending"}[choice["applied"]]
        self.expected.add("tenuto_steering_actions_total", **labels, outcome=outcome)
        self.expected.request("other", "ok", model="")
        return dict(choice)


async def events(response: httpx.Response) -> AsyncIterator[Any]:
    """The data of the events of a stream, without the last mark of OpenAI's."""
    assert response.status_code == 200, await response.aread()
    async for line in response.aiter_lines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


async def partial_post(url: str, key: str, body: dict[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a chat without the end of its body."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    content = json.dumps(body)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nX-Api-Key: {key}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n{content[:-5]}".encode())
    await writer.drain()
    return reader, writer


def choices_of_reply(path: str, reply: dict[str, Any]) -> list[SentChoice]:
    """The choices of a whole reply."""
    if path == RESPONSES:
        content = [part for item in reply["output"] if item["type"] == "message" for part in item["content"]]
        text = "".join(part.get("text", "") for part in content)
        return [SentChoice(reply["thinking"][0], reply["usage"]["output_tokens"], text)]
    if path == MESSAGES:
        text = "".join(block.get("text", "") for block in reply["content"])
        return [SentChoice(reply["thinking_report"], reply["usage"]["output_tokens"], text)]
    return [
        SentChoice(
            choice["thinking"],
            len(choice["token_ids"]),
            _answer(choice["message"]["content"] if "message" in choice else choice["text"]),
            choice["finish_reason"] == "length",
        )
        for choice in reply["choices"]
    ]


def choices_of_stream(path: str, received: list[Any]) -> list[SentChoice]:
    """The choices of a stream that has ended, from the data of its events."""
    if path == RESPONSES:
        return choices_of_reply(path, received[-1]["response"])
    if path == MESSAGES:
        (end,) = [event for event in received if event["type"] == "message_delta"]
        text = "".join(event["delta"].get("text", "") for event in received if event["type"] == "content_block_delta")
        return [SentChoice(end["thinking_report"], end["usage"]["output_tokens"], text)]
    pieces = [choice for event in received for choice in event["choices"]]
    return [_of_pieces([piece for piece in pieces if piece["index"] == at]) for at in {p["index"] for p in pieces}]


def _of_pieces(pieces: list[dict[str, Any]]) -> SentChoice:
    tokens = sum(len(piece.get("token_ids") or ()) for piece in pieces)
    text = "".join(piece["delta"].get("content") or "" if "delta" in piece else piece["text"] for piece in pieces)
    text = _answer(text)
    (end,) = [piece for piece in pieces if piece["finish_reason"] is not None]
    return SentChoice(end["thinking"], tokens, text, end["finish_reason"] == "length")


def _answer(text: str | None) -> str:
    """The answer in a content, or in a completion of the built-in model, without the forced text that introduces it."""
    return (text or "").rpartition("answer\n")[2].replace("Final Answer:", "")
