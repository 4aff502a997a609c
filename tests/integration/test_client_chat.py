"""Our own client against the real server: its results agree with the server's work."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import tenuto
from tenuto_testing.servers import MODEL, RunningServer

BUDGETS: list[dict[str, Any]] = [
    {},
    {"max_thinking_tokens": 0},
    {"max_thinking_tokens": 24, "num_waits": 1},
    {"num_waits": 2, "wait_text": ["Hmm", "Wait"]},
    {"min_thinking_tokens": 40, "max_thinking_tokens": 80},
]


@pytest.fixture(scope="module")
def ours(server: RunningServer) -> Iterator[tenuto.Client]:
    with tenuto.Client(server.url) as client:
        yield client


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_a_stream_equals_the_whole_reply(ours: tenuto.Client, questions: list[str], budget: dict[str, Any]) -> None:
    reply = ours.chat(questions[0], MODEL, temperature=0.0, **budget)
    events = list(ours.stream(questions[0], MODEL, temperature=0.0, **budget))
    assert "".join(e.text for e in events if isinstance(e, tenuto.ReasoningDelta)) == reply.reasoning
    assert "".join(e.text for e in events if isinstance(e, tenuto.ContentDelta)) == reply.content
    [finished] = [e for e in events if isinstance(e, tenuto.ChoiceFinished)]
    assert finished == tenuto.ChoiceFinished(0, reply.choices[0].finish_reason or "", reply.thinking)
    assert events[-1] == tenuto.UsageReported(reply.usage)


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_the_report_agrees_with_the_budget_and_the_usage(
    ours: tenuto.Client, questions: list[str], budget: dict[str, Any]
) -> None:
    reply = ours.chat(questions[1], temperature=0.0, n=1, **budget)
    report = reply.thinking
    assert report is not None
    assert reply.usage.reasoning_tokens == report.tokens
    by_default = report.set_by.get("max_thinking_tokens") == "default"
    assert by_default == ("max_thinking_tokens" not in budget)
    assert by_default or report.max_thinking_tokens == budget["max_thinking_tokens"]
    assert report.tokens <= budget.get("max_thinking_tokens", report.tokens)
    assert report.tokens >= budget.get("min_thinking_tokens", 0)
    assert reply.content


def test_several_choices(ours: tenuto.Client, questions: list[str]) -> None:
    reply = ours.chat(questions[2], n=3, temperature=1.0, seed=7, max_thinking_tokens=16)
    reports = [choice.thinking for choice in reply.choices]
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert all(report is not None and report.tokens <= 16 for report in reports)
    assert reply.usage.reasoning_tokens == sum(report.tokens for report in reports if report)


async def test_many_at_once(server: RunningServer, questions: list[str]) -> None:
    async with tenuto.AsyncClient(server.url) as client:
        calls = [
            client.chat(question, max_thinking_tokens=cap, temperature=0.0)
            for cap, question in enumerate(questions[:20])
        ]
        reports = [reply.thinking for reply in await asyncio.gather(*calls)]
    assert all(report is not None and report.tokens <= cap for cap, report in enumerate(reports))


async def test_closing_a_stream_stops_the_engine(server: RunningServer, questions: list[str]) -> None:
    async with (
        tenuto.AsyncClient(server.url) as client,
        contextlib.aclosing(client.stream(questions[0], min_thinking_tokens=3000)) as events,
    ):
        await anext(events)
    await asyncio.to_thread(server.wait_until, lambda: server.gauge("vllm:num_requests_running") == 0, 10.0)


@pytest.mark.parametrize(
    ("budget", "field"),
    [
        ({"max_thinking_tokens": -1}, "max_thinking_tokens"),
        ({"max_thinking_tokens": 4, "min_thinking_tokens": 8}, "min_thinking_tokens"),
        ({"num_waits": -2}, "num_waits"),
    ],
)
def test_an_invalid_budget_is_refused_with_its_field(ours: tenuto.Client, budget: dict[str, Any], field: str) -> None:
    with pytest.raises(tenuto.BadRequest) as caught:
        ours.chat("?", **budget)
    assert caught.value.param == field
    with pytest.raises(tenuto.BadRequest) as caught:
        next(ours.stream("?", **budget))
    assert caught.value.param == field


def test_an_unknown_model_is_not_found(ours: tenuto.Client) -> None:
    with pytest.raises(tenuto.NotFound, match="no-such-model"):
        ours.chat("?", "no-such-model")


def test_models_and_readiness(ours: tenuto.Client) -> None:
    [model] = ours.models()
    assert model.id == MODEL
    assert model.max_model_len is not None
    assert model.max_model_len >= 4096
    assert ours.ready()
