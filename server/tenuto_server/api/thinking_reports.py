"""From what vLLM's serving objects return to the response, whole or streamed, with the account of the thinking."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic_core import from_json, to_json
from vllm.entrypoints.serve.engine.protocol import CompletionTokenUsageInfo

from tenuto_decoding.errors import InvalidBudget

from ..engine.accounting import Collection, CountedChoice, CountedReply, collect_nothing, collect_replies

T = TypeVar("T")


class Account:
    """What the engine generates on behalf of one HTTP request; it goes on growing while the reply streams.

    Args:
        void: nothing is told, and nothing kept: what the engine generates are not the reply's choices but steps of its
            search, of which there may be very many.
    """

    def __init__(self, *, void: bool = False) -> None:
        self.replies: list[CountedReply] = []
        self.is_void = void

    @property
    def known(self) -> bool:
        """Whether there is anything to tell: not without known markers."""
        return bool(self.replies)

    @property
    def choices(self) -> list[CountedChoice]:
        """The choices of all replies, which is how they are numbered: those of the first prompt, of the second, ..."""
        return [choice for reply in self.replies for choice in reply.choices]

    @property
    def reasoning_tokens(self) -> int:
        return sum(choice.report.tokens for choice in self.choices)

    def report(self, index: int) -> dict[str, Any] | None:
        """What became of the thinking of a choice."""
        return self.choices[index].report.to_dict() if self.known else None

    async def of(self, work: Awaitable[T]) -> T:
        """What the work comes to; what is generated meanwhile is accounted for here."""
        with self._collecting():
            return await work

    async def following(self, events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The same events; what is generated while they are drawn is accounted for here."""
        async with aclosing(events):
            while True:
                with self._collecting():
                    try:
                        event = await anext(events)
                    except StopAsyncIteration:
                        return
                yield event

    def _collecting(self) -> Collection:
        return collect_nothing() if self.is_void else collect_replies(self.replies)


def open_account(request: Any, raw_request: Request) -> Account:
    """The account of a request that may ask for beam search.

    Raises:
        InvalidBudget: for beam search where the server's default budget would apply.
    """
    if request.use_beam_search and raw_request.app.state.service.has_default_budget:
        raise InvalidBudget(
            "use_beam_search", "this server has a default thinking budget, which beam search cannot keep"
        )
    return Account(void=request.use_beam_search)


def tell_choices(response: Any, account: Account) -> None:
    """Add to a whole reply in OpenAI's shape: a report to every choice, the count to the usage."""
    for choice in response.choices:
        choice.thinking = account.report(choice.index)
    if account.known:
        response.usage.completion_tokens_details = CompletionTokenUsageInfo(reasoning_tokens=account.reasoning_tokens)


async def tell_chunks(events: AsyncGenerator[str, None], account: Account) -> AsyncGenerator[str, None]:
    """The same for a stream: the report stands in a choice's last chunk, the count wherever usage is told."""
    # Everything was asked of the engine before the stream began, but for the steps of a search.
    async with aclosing(account.following(events) if account.is_void else events) as followed:
        async for event in followed:
            # Only what has something to be added is parsed. In JSON as vLLM writes it, without spaces, neither of the
            # two texts can stand within a string: its quotes would be escaped.
            if '"finish_reason":"' in event or '"usage":{' in event:
                event = _tell_chunk(event, account)
            yield event


def _tell_chunk(event: str, account: Account) -> str:
    chunk = from_json(event.removeprefix("data: "))
    for choice in chunk["choices"]:
        if choice["finish_reason"] is not None:
            choice["thinking"] = account.report(choice["index"])
    if account.known and chunk.get("usage"):
        told = [account.choices[choice["index"]] for choice in chunk["choices"]] or account.choices
        tokens = sum(choice.report.tokens for choice in told)
        # the chunk that opens a choice tells of nothing yet, though its first tokens may have come already
        tokens = min(tokens, chunk["usage"]["completion_tokens"])
        chunk["usage"]["completion_tokens_details"] = {"reasoning_tokens": tokens}
    return f"data: {compact(chunk)}\n\n"


def compact(data: Any) -> str:
    """JSON as it stands in a stream."""
    return to_json(data).decode()


def whole(reply: BaseModel, **dump: Any) -> JSONResponse:
    """A reply, complete."""
    return JSONResponse(reply.model_dump(**dump))
