"""A real HTTP server with the chat API that adds numbers: for each wait it adds two more of them."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

STEP = 10
"""Thinking tokens for two numbers."""


@dataclass
class Adder:
    """Its URL, the requests it received, and the most requests that it handled at a time."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    reports: bool = True

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0.005)
        self.running -= 1
        question = body["messages"][-1]["content"]
        if "broken" in question:
            return JSONResponse({"error": {"message": "it broke", "type": "InternalServerError", "code": 500}}, 500)
        cap = body.get("max_thinking_tokens")
        return JSONResponse(self.reply(question, body.get("num_waits", 0), None if cap == "unlimited" else cap))

    def reply(self, question: str, waits: int, cap: int | None) -> dict[str, Any]:
        wanted = STEP * (1 + waits)
        tokens = wanted if cap is None else min(wanted, cap)
        numbers = [int(part) for part in question.split(" + ")][: 2 * (tokens // STEP)]
        ended_by = "cap" if tokens < wanted else "model"
        report = {"tokens": tokens, "waits": waits, "ended_by": ended_by if tokens else "none"}
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "reasoning": "...", "content": f"\nAnswer: {sum(numbers)}"},
            "finish_reason": "stop",
        }
        if self.reports:
            choice["thinking"] = {**report, "max_thinking_tokens": cap, "min_thinking_tokens": 0}
        usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
        return {"id": "1", "model": "adder", "choices": [choice], "usage": usage}


@pytest.fixture(scope="session")
def running_adder() -> Iterator[Adder]:
    adder = Adder()
    app = Starlette(routes=[Route("/v1/chat/completions", adder.chat, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    adder.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield adder
    server.should_exit = True
    thread.join()


@pytest.fixture
def adder(running_adder: Adder) -> Adder:
    running_adder.bodies.clear()
    running_adder.running = running_adder.most_running = 0
    running_adder.reports = True
    return running_adder
