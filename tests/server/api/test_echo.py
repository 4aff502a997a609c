"""A completion that only echoes its prompt has no token of the one that vLLM generates for it."""

import json
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.entrypoints.openai.completion.protocol import CompletionResponse, CompletionResponseChoice
from vllm.entrypoints.serve.engine.protocol import UsageInfo

from tenuto_server.api.echo import only_echoes, without_tokens, without_tokens_in_chunks
from tenuto_server.api.thinking_reports import CountedReplies, add_reports_to_choices
from tenuto_server.engine.accounting import CountedReply
from tests.server.resolved import resolved


@pytest.mark.parametrize(
    ("echo", "max_tokens", "only"), [(True, 0, True), (True, 1, False), (False, 0, False), (None, 0, False)]
)
def test_only_an_echo_without_tokens_is_one(echo: bool | None, max_tokens: int, only: bool) -> None:
    assert only_echoes(SimpleNamespace(echo=echo, max_tokens=max_tokens)) is only


def test_a_whole_response_has_no_token(chatml: Any) -> None:
    usage = UsageInfo(prompt_tokens=3, completion_tokens=1, total_tokens=4)
    choice = CompletionResponseChoice(index=0, text="x", finish_reason="stop", stop_reason=5, token_ids=[9])
    response = CompletionResponse(model="m", choices=[choice], usage=usage)
    counted = CountedReplies()
    reply = CountedReply(resolved(chatml), [], n=1)
    reply.choices[0].take(chatml.encode("<|im_start|>thinka"))
    counted.replies.append(reply)
    assert counted.reasoning_tokens == 1

    counted.are_dropped = True
    without_tokens(response)
    add_reports_to_choices(response, counted)
    body = response.model_dump()
    assert {**body["usage"], "prompt_tokens_details": None} == {
        "prompt_tokens": 3,
        "completion_tokens": 0,
        "total_tokens": 3,
        "prompt_tokens_details": None,
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    shown = body["choices"][0]
    assert (shown["text"], shown["finish_reason"], shown["stop_reason"], shown["token_ids"]) == (
        "x",
        "length",
        None,
        [],
    )
    assert (shown["thinking"]["tokens"], shown["thinking"]["ended_by"]) == (0, "none")


async def test_a_stream_has_no_token() -> None:
    async def chunks() -> AsyncGenerator[str, None]:
        usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
        choice = {"index": 0, "text": "x", "finish_reason": "stop", "stop_reason": 5, "token_ids": [9]}
        yield f"data: {json.dumps({'choices': [choice], 'usage': usage})}\n\n"
        yield f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"
        yield 'data: {"error":{"message":"m"}}\n\n'
        yield "data: [DONE]\n\n"

    first, last, error, done = [event async for event in without_tokens_in_chunks(chunks())]
    chunk = json.loads(first.removeprefix("data: "))
    usage = {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}
    assert chunk["choices"] == [
        {"index": 0, "text": "x", "finish_reason": "length", "stop_reason": None, "token_ids": []}
    ]
    assert chunk["usage"] == json.loads(last.removeprefix("data: "))["usage"] == usage
    assert (error, done) == ('data: {"error":{"message":"m"}}\n\n', "data: [DONE]\n\n")
