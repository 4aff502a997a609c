"""Thinking reports in what an HTTP request gets: whole responses, and streams while they run."""

import json
import weakref
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.entrypoints.generate.base.protocol import DeltaMessage
from vllm.entrypoints.openai.chat_completion.protocol import (
    ChatCompletionLogProbs,
    ChatCompletionLogProbsContent,
    ChatCompletionResponseStreamChoice,
    ChatCompletionStreamResponse,
)
from vllm.entrypoints.openai.completion.protocol import CompletionResponse, CompletionResponseChoice
from vllm.entrypoints.serve.engine.protocol import UsageInfo

from tenuto_decoding.errors import InvalidBudget
from tenuto_server.api.thinking_reports import (
    CountedReplies,
    add_reports_to_choices,
    add_reports_to_chunks,
    counted_replies,
)
from tenuto_server.context import CurrentRequest, using_request
from tenuto_server.engine.accounting import CountedReply, collect_replies, hand_over
from tenuto_server.state import ServerState
from tests.server.resolved import resolved

THINKING = "<|im_start|>think"


def generate(tokenizer: Any, *texts: str) -> CountedReply:
    """In place of the engine: a reply with one choice for each text, handed over as the engine does."""
    reply = CountedReply(resolved(tokenizer), [], n=len(texts))
    for choice, text in zip(reply.choices, texts, strict=True):
        choice.take(tokenizer.encode(text, add_special_tokens=False))
    hand_over(reply)
    return reply


def response(choices: int) -> CompletionResponse:
    parts = [CompletionResponseChoice(index=index, text="", finish_reason="stop") for index in range(choices)]
    return CompletionResponse(model="m", choices=parts, usage=UsageInfo())


async def completed(*events: str) -> list[str]:
    """The events of a stream without counted replies, completed."""

    async def stream() -> AsyncGenerator[str, None]:
        for event in events:
            yield event

    return [event async for event in add_reports_to_chunks(stream(), CountedReplies())]


def as_event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"


async def test_choices_are_numbered_through_the_prompts(chatml: Any) -> None:
    counted = CountedReplies()

    async def work() -> CompletionResponse:
        generate(chatml, THINKING + "a", THINKING + "ab")
        generate(chatml, "x", THINKING + "abc")
        return response(4)

    reply = await counted.collect(work())
    add_reports_to_choices(reply, counted)
    assert [choice.thinking["tokens"] for choice in reply.choices] == [1, 2, 0, 3]
    assert reply.usage.completion_tokens_details.reasoning_tokens == 6


@pytest.mark.parametrize("discarded", [False, True])
async def test_without_counted_replies_the_report_is_null_and_usage_unchanged(chatml: Any, discarded: bool) -> None:
    """Without markers nothing is counted, and the sequences of a beam search are not the choices."""
    counted = CountedReplies(discarded=discarded)

    async def work() -> None:
        if discarded:
            generate(chatml, THINKING + "a")

    await counted.collect(work())
    reply = response(1)
    add_reports_to_choices(reply, counted)
    assert reply.choices[0].thinking is None
    assert reply.usage.completion_tokens_details is None


async def test_nothing_keeps_the_steps_of_a_search(chatml: Any) -> None:
    """Neither the request's replies nor the record of the request around them, whole or streamed."""
    steps: list[weakref.ref[CountedReply]] = []

    async def work() -> None:
        for _ in range(20):
            steps.append(weakref.ref(generate(chatml, "x")))
            assert steps[-1]() is None

    async def events() -> AsyncGenerator[str, None]:
        await work()
        yield "data: [DONE]\n\n"

    counted = CountedReplies(discarded=True)
    record: list[CountedReply] = []
    with collect_replies(record):
        await counted.collect(work())
        async for _ in add_reports_to_chunks(events(), counted):
            generate(chatml, "x")  # for another request
    assert len(steps) == 40
    assert len(record) == 1


async def test_a_stream_is_counted_even_if_it_generates_later(chatml: Any) -> None:
    """The engine may be called only when the stream is read, which happens in another context."""

    async def events() -> AsyncGenerator[str, None]:
        yield 'data: {"choices":[{"index":0,"text":"\\"finish_reason\\":\\"","finish_reason":null}]}\n\n'
        generate(chatml, THINKING + "ab")
        yield 'data: {"choices":[{"index":0,"text":"ü","finish_reason":"stop"}]}\n\n'
        yield 'data: {"choices":[],"usage":{"completion_tokens":4}}\n\n'
        yield "data: [DONE]\n\n"

    counted = CountedReplies()
    first, *later = [event async for event in add_reports_to_chunks(counted.collect_from(events()), counted)]
    assert '"thinking"' not in first
    assert "ü" in later[0]
    ended, usage = (json.loads(event.removeprefix("data: ")) for event in later[:2])
    assert ended["choices"][0]["thinking"]["tokens"] == 2
    assert usage["usage"] == {"completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 2}}
    assert later[2] == "data: [DONE]\n\n"


async def test_usage_never_reports_more_thinking_than_tokens(chatml: Any) -> None:
    """The chunk that opens a choice says 0 tokens, though the engine may have generated several by then."""

    async def work() -> None:
        generate(chatml, THINKING + "ab")

    async def events() -> AsyncGenerator[str, None]:
        for tokens in (0, 4):
            choices = '[{"index":0,"finish_reason":null}]'
            yield f'data: {{"choices":{choices},"usage":{{"completion_tokens":{tokens}}}}}\n\n'

    counted = CountedReplies()
    await counted.collect(work())
    chunks = [json.loads(event.removeprefix("data: ")) async for event in add_reports_to_chunks(events(), counted)]
    assert [chunk["usage"]["completion_tokens_details"]["reasoning_tokens"] for chunk in chunks] == [0, 2]


async def test_reasoning_in_a_stream_has_both_names_and_all_else_is_unchanged() -> None:
    def event(**delta: Any) -> str:
        """As vLLM writes it, with values that JSON could write in several ways."""
        logprob = ChatCompletionLogProbsContent(token="ü", logprob=-1.25e-05, bytes=[195, 188])
        choice = ChatCompletionResponseStreamChoice(
            index=0, delta=DeltaMessage(**delta), logprobs=ChatCompletionLogProbs(content=[logprob]), finish_reason=None
        )
        chunk = ChatCompletionStreamResponse(model="m", created=2**62, choices=[choice], usage=None)
        return f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"

    content = event(content="ü", reasoning=None)
    assert await completed(event(reasoning='ü\u2028\\"'), content) == [
        event(reasoning='ü\u2028\\"', reasoning_content='ü\u2028\\"'),
        content,
    ]


async def test_an_error_in_a_stream_is_passed_through_and_reported_to_the_request() -> None:
    request = CurrentRequest()
    empty, error = as_event({"choices": []}), as_event({"error": {"message": "the engine has died", "code": 500}})
    with using_request(request):
        assert await completed(empty) == [empty]
        assert not request.stream_failed
        assert await completed(error) == [error]
    assert request.stream_failed


async def test_a_stream_that_is_left_is_closed() -> None:
    closed = False

    async def events() -> AsyncGenerator[str, None]:
        nonlocal closed
        try:
            yield as_event({"choices": []})
            yield as_event({"choices": []})
        finally:
            closed = True

    stream = add_reports_to_chunks(events(), CountedReplies())
    await anext(stream)
    await stream.aclose()
    assert closed


def test_beam_search_is_refused_where_the_default_budget_would_apply() -> None:
    raw: Any = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(service=ServerState(has_default_budget=True))))
    beam, plain = SimpleNamespace(use_beam_search=True), SimpleNamespace(use_beam_search=False)
    with pytest.raises(InvalidBudget, match="default thinking budget"):
        counted_replies(beam, raw)
    assert not counted_replies(plain, raw).replies


async def test_the_last_delta_of_a_chat_has_the_report_too(chatml: Any) -> None:
    """The `openai` SDK's helper for streams drops that of the choice. A completion has no delta."""
    counted = CountedReplies()

    async def work() -> None:
        generate(chatml, THINKING + "ab")

    await counted.collect(work())

    async def stream() -> AsyncGenerator[str, None]:
        yield as_event({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]})
        yield as_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        yield as_event({"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})

    events = [json.loads(event.removeprefix("data: ")) async for event in add_reports_to_chunks(stream(), counted)]
    first, last, completion = (event["choices"][0] for event in events)
    assert first["delta"] == {"content": "x"}
    assert last["delta"] == {"thinking_report": counted.report(0)} == {"thinking_report": last["thinking"]}
    assert "delta" not in completion
