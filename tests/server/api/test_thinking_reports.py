"""The account of a request in what it answers: whole replies, and streams that are told while they run."""

import json
import weakref
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.entrypoints.openai.completion.protocol import CompletionResponse, CompletionResponseChoice
from vllm.entrypoints.serve.engine.protocol import UsageInfo

from tenuto_decoding.errors import InvalidBudget
from tenuto_server.api.thinking_reports import Account, open_account, tell_choices, tell_chunks
from tenuto_server.engine.accounting import CountedReply, collect_replies, hand_over
from tenuto_server.state import ServerState
from tests.server.resolved import resolved

THINKING = "<|im_start|>think"


def generate(tokenizer: Any, *texts: str) -> CountedReply:
    """Stands for the engine: a reply with one choice for each text, handed over as the engine does."""
    reply = CountedReply(resolved(tokenizer), [], n=len(texts))
    for choice, text in zip(reply.choices, texts, strict=True):
        choice.take(tokenizer.encode(text, add_special_tokens=False))
    hand_over(reply)
    return reply


def response(choices: int) -> CompletionResponse:
    parts = [CompletionResponseChoice(index=index, text="", finish_reason="stop") for index in range(choices)]
    return CompletionResponse(model="m", choices=parts, usage=UsageInfo())


async def test_choices_are_numbered_through_the_prompts(chatml: Any) -> None:
    account = Account()

    async def work() -> CompletionResponse:
        generate(chatml, THINKING + "a", THINKING + "ab")
        generate(chatml, "x", THINKING + "abc")
        return response(4)

    reply = await account.of(work())
    tell_choices(reply, account)
    assert [choice.thinking["tokens"] for choice in reply.choices] == [1, 2, 0, 3]
    assert reply.usage.completion_tokens_details.reasoning_tokens == 6


@pytest.mark.parametrize("void", [False, True])
async def test_without_an_account_the_report_is_null_and_usage_as_it_was(chatml: Any, void: bool) -> None:
    """Without markers nothing is accounted for, and the sequences of beam search are not the choices."""
    account = Account(void=void)

    async def work() -> None:
        if void:
            generate(chatml, THINKING + "a")

    await account.of(work())
    reply = response(1)
    tell_choices(reply, account)
    assert reply.choices[0].thinking is None
    assert reply.usage.completion_tokens_details is None


async def test_the_steps_of_a_search_are_kept_by_nobody(chatml: Any) -> None:
    """Not by the account, not by the record of the request around it, whether the reply comes whole or streamed."""
    steps: list[weakref.ref[CountedReply]] = []

    async def work() -> None:
        for _ in range(20):
            steps.append(weakref.ref(generate(chatml, "x")))
            assert steps[-1]() is None

    async def events() -> AsyncGenerator[str, None]:
        await work()
        yield "data: [DONE]\n\n"

    account = Account(void=True)
    record: list[CountedReply] = []
    with collect_replies(record):
        await account.of(work())
        async for _ in tell_chunks(events(), account):
            generate(chatml, "x")  # another's, beside it
    assert len(steps) == 40
    assert len(record) == 1


async def test_a_stream_is_accounted_for_even_where_it_generates_later(chatml: Any) -> None:
    """The engine may be asked only when the stream is drawn from, which happens in another context."""

    async def events() -> AsyncGenerator[str, None]:
        yield 'data: {"choices":[{"index":0,"text":"\\"finish_reason\\":\\"","finish_reason":null}]}\n\n'
        generate(chatml, THINKING + "ab")
        yield 'data: {"choices":[{"index":0,"text":"ü","finish_reason":"stop"}]}\n\n'
        yield 'data: {"choices":[],"usage":{"completion_tokens":4}}\n\n'
        yield "data: [DONE]\n\n"

    account = Account()
    first, *told = [event async for event in tell_chunks(account.following(events()), account)]
    assert '"thinking"' not in first
    assert "ü" in told[0]
    ended, usage = (json.loads(event.removeprefix("data: ")) for event in told[:2])
    assert ended["choices"][0]["thinking"]["tokens"] == 2
    assert usage["usage"] == {"completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 2}}
    assert told[2] == "data: [DONE]\n\n"


async def test_usage_never_tells_of_more_thinking_than_tokens(chatml: Any) -> None:
    """The chunk that opens a choice says 0 tokens, though the engine may have given several at once by then."""

    async def work() -> None:
        generate(chatml, THINKING + "ab")

    async def events() -> AsyncGenerator[str, None]:
        for tokens in (0, 4):
            choices = '[{"index":0,"finish_reason":null}]'
            yield f'data: {{"choices":{choices},"usage":{{"completion_tokens":{tokens}}}}}\n\n'

    account = Account()
    await account.of(work())
    told = [json.loads(event.removeprefix("data: ")) async for event in tell_chunks(events(), account)]
    assert [chunk["usage"]["completion_tokens_details"]["reasoning_tokens"] for chunk in told] == [0, 2]


async def test_a_stream_that_is_left_is_closed() -> None:
    closed = False

    async def events() -> AsyncGenerator[str, None]:
        nonlocal closed
        try:
            yield "data: 1\n\n"
            yield "data: 2\n\n"
        finally:
            closed = True

    stream = tell_chunks(events(), Account())
    await anext(stream)
    await stream.aclose()
    assert closed


def test_beam_search_is_refused_where_the_default_budget_would_apply() -> None:
    raw: Any = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(service=ServerState(has_default_budget=True))))
    beam, plain = SimpleNamespace(use_beam_search=True), SimpleNamespace(use_beam_search=False)
    with pytest.raises(InvalidBudget, match="default thinking budget"):
        open_account(beam, raw)
    assert not open_account(plain, raw).known
