"""Budget forcing by a client: s1's stop-append-resume over several requests to a server, or one request."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
from transformers import AutoTokenizer

MODEL = Path(__file__).parents[1] / "server" / "tenuto_server" / "s1_tiny"
NAME = "s1-tiny"
#: The most tokens of a reply.
LIMIT = 512


class Words:
    """The s1 format in the model's tokens."""

    def __init__(self) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(MODEL)
        self.wait = self.ids("Wait")
        self.answer = self.ids("<|im_start|>answer")
        self.ends = self.ids("<|im_end|><|endoftext|>")
        self.attempts = [self.answer[0], *self.ends]

    def prompt(self, context: str, question: str) -> list[int]:
        """A chat that ends in the start marker, as s1's users send it; `context` is the system message, if any."""
        messages = [{"role": "system", "content": context}] if context else []
        messages.append({"role": "user", "content": question})
        chat: str = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return self.ids(chat + "<|im_start|>think")

    def ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


@dataclass
class Reply:
    """One reply as its client sees it: the token ids, and the moments at which there was new text to show."""

    ids: list[int] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)

    def show(self) -> None:
        self.shown.append(time.perf_counter())

    @property
    def tokens_left(self) -> int:
        return LIMIT - len(self.ids)

    @property
    def longest_pause(self) -> float:
        """In milliseconds, between two moments with new text."""
        return max(after - before for before, after in pairwise(self.shown)) * 1e3


@dataclass(frozen=True)
class Client:
    """The client of one server; `resumes` for stop-append-resume, otherwise the server does it all in one request."""

    session: aiohttp.ClientSession
    url: str
    words: Words
    resumes: bool

    async def reply(self, prompt: list[int], waits: int) -> Reply:
        reply = Reply()
        if self.resumes:
            await self._resume(prompt, waits, reply)
        else:
            await self._stream(prompt, reply, num_waits=waits)
        return reply

    async def replies(self, prompts: Sequence[list[int]], waits: int, at_once: int) -> list[Reply]:
        """The replies to all prompts, `at_once` at a time."""
        slots = asyncio.Semaphore(at_once)

        async def one(prompt: list[int]) -> Reply:
            async with slots:
                return await self.reply(prompt, waits)

        return await asyncio.gather(*map(one, prompts))

    async def _resume(self, prompt: list[int], waits: int, reply: Reply) -> None:
        """Generate up to an attempt to stop, replace it with "Wait", and continue; the last one becomes the answer."""
        words = self.words
        for number in range(waits + 1):
            await self._stream(prompt + reply.ids, reply, stop_token_ids=words.attempts)
            if reply.ids[-1] not in words.attempts:
                return  # the limit is reached
            reply.ids.pop()
            reply.ids += (words.wait if number < waits else words.answer)[: reply.tokens_left]
            reply.show()  # a client can show what it appends immediately
            if not reply.tokens_left:
                return
        await self._stream(prompt + reply.ids, reply, stop_token_ids=words.ends)

    async def _stream(self, prompt: list[int], reply: Reply, **fields: Any) -> None:
        """Send one request. Raises RuntimeError if it is refused or if its stream breaks off."""
        fields = {
            "temperature": 0.0,
            "max_tokens": reply.tokens_left,
            "stream": True,
            "return_token_ids": True,
            **fields,
        }
        body = {"model": NAME, "prompt": prompt, **fields}
        async with self.session.post(f"{self.url}/v1/completions", json=body) as response:
            if response.status != 200:
                raise RuntimeError(f"{response.status}: {await response.text()}")
            async for line in response.content:
                if line == b"data: [DONE]\n":
                    return
                if line.startswith(b"data: "):
                    for choice in json.loads(line[6:]).get("choices") or ():
                        reply.ids += choice.get("token_ids") or ()
                        if choice["text"]:
                            reply.show()
        raise RuntimeError("the stream broke off")
