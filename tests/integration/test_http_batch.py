"""Several conversations in one request: each has its own budget, and the same reply as alone."""

from typing import Any

import pytest

from tenuto_testing.reply_counter import ReplyCounter
from tenuto_testing.servers import MODEL, RunningServer

PATH = "/v1/chat/completions/batch"


def conversation(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def ask(*questions: str, **more: Any) -> dict[str, Any]:
    messages = [conversation(question) for question in questions]
    return {"model": MODEL, "messages": messages, "temperature": 0, "return_token_ids": True, **more}


@pytest.mark.parametrize(
    "budget",
    [{}, {"max_thinking_tokens": 12}, {"num_waits": 2}, {"thinking_token_budget": 12}, {"reasoning_effort": "none"}],
    ids=str,
)
def test_each_conversation_has_the_reply_and_counts_of_a_single_request(
    server: RunningServer, counter: ReplyCounter, questions: list[str], budget: dict[str, Any]
) -> None:
    batch = server.post(PATH, **ask(*questions[:2], **budget)).json()
    assert [choice["index"] for choice in batch["choices"]] == [0, 1]
    alone = [
        server.chat(**ask(question, **budget) | {"messages": conversation(question)}).json()["choices"][0]
        for question in questions[:2]
    ]
    for choice, single in zip(batch["choices"], alone, strict=True):
        assert choice["thinking"] == single["thinking"]
        assert choice["token_ids"] == single["token_ids"]
        for name in ("reasoning", "reasoning_content", "content"):
            assert choice["message"][name] == single["message"][name]
    counts = [counter.count(choice["token_ids"], choice["thinking"]["max_thinking_tokens"]) for choice in alone]
    assert [choice["thinking"]["tokens"] for choice in batch["choices"]] == counts
    assert batch["usage"]["completion_tokens_details"]["reasoning_tokens"] == sum(counts)


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"max_thinking_tokens": -1}, "max_thinking_tokens", "-1 is not between 0 and"),
        ({"max_thinking_token": 5}, "max_thinking_token", "did you mean max_thinking_tokens?"),
        ({"max_thinking_tokens": 50, "max_tokens": 50}, "max_thinking_tokens", "max_tokens, which is 50"),
        ({"stream": True}, "stream", "is not offered for a batch"),
        ({"tools": [{"type": "function"}]}, "tools", "is not offered for a batch"),
        ({"n": 2}, "n", "do not support"),
        ({"messages": []}, "messages", ""),
    ],
    ids=str,
)
def test_an_invalid_request_is_a_400_before_anything_is_generated(
    server: RunningServer, questions: list[str], fields: dict[str, Any], param: str, message: str
) -> None:
    before = server.gauge("vllm:generation_tokens_total")
    response = server.post(PATH, **ask(*questions[:2]) | fields)
    error = response.json()["error"]
    assert response.status_code == error["code"] == 400
    assert error["param"] == param
    assert message in error["message"]
    assert server.gauge("vllm:generation_tokens_total") == before
