"""The client's stop-append-resume, against a server that plays a model: it tries to stop after every two tokens."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from benchmarks.stop_append_resume import LIMIT, Client, Words

PLAIN = 300


class Model:
    """Records the requests, and streams one token in each chunk, up to `max_tokens`."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self.bodies: list[dict[str, Any]] = []

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        response = web.StreamResponse()
        await response.prepare(request)
        for token in [PLAIN, PLAIN + 1, body["stop_token_ids"][0]][: body["max_tokens"]]:
            choice = {"text": "" if token in self.words.attempts else "x", "token_ids": [token]}
            await response.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response


@pytest.fixture(scope="module")
def words() -> Words:
    return Words()


@pytest.fixture
def model(words: Words) -> Model:
    return Model(words)


@pytest.fixture
async def client(model: Model) -> AsyncIterator[Client]:
    application = web.Application()
    application.router.add_post("/v1/completions", model.complete)
    async with TestServer(application) as server, aiohttp.ClientSession() as session:
        yield Client(session, str(server.make_url("")).rstrip("/"), model.words, resumes=True)


async def test_every_attempt_becomes_a_wait_and_the_last_one_the_answer(client: Client, model: Model) -> None:
    prompt, words = client.words.prompt("", "Add up this bill: tea 2"), client.words
    (reply,) = await client.replies([prompt], waits=2, at_once=1)
    thinking = [PLAIN, PLAIN + 1]
    stretches = [*thinking, *words.wait, *thinking, *words.wait, *thinking, *words.answer, *thinking, words.ends[0]]
    assert reply.ids == stretches
    assert [body["stop_token_ids"] for body in model.bodies] == [words.attempts] * 3 + [words.ends]
    assert [len(body["prompt"]) - len(prompt) for body in model.bodies] == [0, 3, 6, 8 + len(words.answer)]
    assert all(body["max_tokens"] + len(body["prompt"]) == LIMIT + len(prompt) for body in model.bodies)
    assert len(reply.shown) == 8 + 3, "a chunk is counted where it has text, and what is appended once"
    assert reply.longest_pause > 0


async def test_a_reply_ends_at_its_limit(client: Client) -> None:
    (reply,) = await client.replies([[1, 2, 3]], waits=LIMIT, at_once=1)
    assert len(reply.ids) == LIMIT
