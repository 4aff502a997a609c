"""Budgets over HTTP, with the official SDK and a plain client, against an independent count of the tokens."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, OpenAI

from tenuto_testing.reply_counter import ReplyCounter
from tenuto_testing.servers import MODEL, RunningServer

BUDGETS: list[dict[str, Any]] = [
    {},
    {"max_thinking_tokens": 0},
    {"max_thinking_tokens": 1},
    {"max_thinking_tokens": 12},
    {"max_thinking_tokens": 300},
    {"num_waits": 2},
    {"num_waits": 3, "max_thinking_tokens": 40},
    {"num_waits": 2, "wait_text": ["Hmm", "Wait"]},
    {"num_waits": 1, "wait_text": ""},
    {"min_thinking_tokens": 60},
    {"min_thinking_tokens": 60, "max_thinking_tokens": 60},
    {"max_thinking_tokens": 20, "cap_text": "\nEnough.\n"},
    {"max_thinking_tokens": 30, "landing_tokens": 20},
    {"max_thinking_tokens": 16, "scope": "block"},
    {"thinking_token_budget": 12},
    {"thinking": {"type": "enabled", "budget_tokens": 12}},
    {"thinking": {"type": "disabled"}},
    {"nvext": {"max_thinking_tokens": 12}},
    {"thinking_budget": 12, "num_waits": 2},
    {"thinking_budget_tokens": 12},
    {"chat_template_kwargs": {"thinking_budget": 12}},
    {"reasoning": {"max_tokens": 12}},
    {"reasoning_effort": "none"},
    {"max_thinking_tokens": 5, "reasoning_effort": "high"},
]

CAPS = {"none": 0, "disabled": 0, "high": 5}


def cap_of(budget: dict[str, Any]) -> int | None:
    """The cap of a table row: 12 if that number occurs, or the meaning of the words in CAPS."""
    if budget.get("max_thinking_tokens") is not None:
        cap: int = budget["max_thinking_tokens"]
        return cap
    text = json.dumps(budget)
    return 12 if "12" in text else next((cap for word, cap in CAPS.items() if f'"{word}"' in text), None)


def ask(question: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": question}], "temperature": 0, **more}


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_a_reply_keeps_its_budget_and_its_figures_equal_a_recount(
    client: OpenAI, counter: ReplyCounter, questions: list[str], budget: dict[str, Any]
) -> None:
    for question in questions[:3]:
        reply = client.chat.completions.create(
            **ask(question, max_tokens=800), extra_body={**budget, "return_token_ids": True}
        )
        choice, cap = reply.choices[0], cap_of(budget)
        thinking, ids = choice.thinking, choice.token_ids
        if cap is None:
            assert thinking["set_by"]["max_thinking_tokens"] == "default"
            cap = thinking["max_thinking_tokens"]
        assert thinking["tokens"] == counter.count(ids, cap)
        assert reply.usage is not None
        assert reply.usage.completion_tokens_details is not None
        assert reply.usage.completion_tokens_details.reasoning_tokens == thinking["tokens"]
        assert thinking["max_thinking_tokens"] == cap
        assert thinking["min_thinking_tokens"] == budget.get("min_thinking_tokens", 0)
        assert thinking["tokens"] <= cap
        if thinking["ended_by"] == "model":
            assert thinking["tokens"] >= budget.get("min_thinking_tokens", 0)
            assert thinking["waits"] >= budget.get("num_waits", 0)


@pytest.mark.parametrize(
    ("fields", "cap", "set_by"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, 9, {"max_thinking_tokens": "thinking.budget_tokens"}),
        ({"thinking_token_budget": -1}, None, {"max_thinking_tokens": "thinking_token_budget"}),
        ({"reasoning_effort": "low"}, 1024, {"max_thinking_tokens": "reasoning_effort"}),
        ({"reasoning_effort": "low", "max_tokens": 100}, 66, {"max_thinking_tokens": "reasoning_effort"}),
        ({"reasoning_effort": "low", "max_thinking_tokens": 9}, 9, {"max_thinking_tokens": "request"}),
        ({"max_tokens": 100}, 66, {"max_thinking_tokens": "default"}),
    ],
    ids=str,
)
def test_the_report_says_where_a_bound_came_from(
    client: OpenAI, questions: list[str], fields: dict[str, Any], cap: int | None, set_by: dict[str, str]
) -> None:
    thinking = client.chat.completions.create(**ask(questions[0]), extra_body=fields).choices[0].thinking
    assert (thinking["max_thinking_tokens"], thinking["set_by"]) == (cap, set_by)


def test_the_text_is_split_at_the_markers_and_contains_none(
    client: OpenAI, counter: ReplyCounter, questions: list[str]
) -> None:
    for budget in ({}, {"max_thinking_tokens": 9}, {"max_thinking_tokens": 0}, {"num_waits": 2}):
        reply = client.chat.completions.create(**ask(questions[0]), extra_body={**budget, "return_token_ids": True})
        message, ids = reply.choices[0].message, reply.choices[0].token_ids
        reasoning, content = message.reasoning or "", message.content or ""
        assert message.reasoning_content == message.reasoning
        assert reasoning == counter.tokenizer.decode(counter.thinking(ids))
        answer = ids[counter.find(ids, counter.end) + len(counter.end) :]
        assert content == counter.tokenizer.decode(answer, skip_special_tokens=True)
        assert "<|im_" not in reasoning + content
        assert content.startswith("\nFinal Answer:") == (reply.choices[0].thinking["ended_by"] == "cap")


def test_waits_appear_in_the_reasoning_at_attempts_to_stop(client: OpenAI, questions: list[str]) -> None:
    plain = client.chat.completions.create(**ask(questions[0])).choices[0]
    waiting = client.chat.completions.create(**ask(questions[0]), extra_body={"num_waits": 2}).choices[0]
    assert plain.thinking["waits"] == 0
    assert waiting.thinking["waits"] == 2
    before, after = plain.message.reasoning, waiting.message.reasoning
    assert after.startswith(before + "Wait")


def test_control_tokens_are_shown_on_request(client: OpenAI, questions: list[str]) -> None:
    """To see whether a reply ended with `<|im_end|>`, a client needs the token: only `skip_special_tokens` hides it."""
    shown = {"skip_special_tokens": False, "include_stop_str_in_output": True}
    message = client.chat.completions.create(**ask(questions[0]), extra_body=shown).choices[0].message
    assert (message.content or "").endswith("<|im_end|>")
    assert "<|im_start|>" not in (message.content or "") + message.reasoning


def events(response: httpx.Response) -> list[dict[str, Any]]:
    """The JSON of a stream's frames; the last frame is the end mark."""
    frames = response.text.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


@pytest.mark.parametrize(
    "budget", [{}, {"max_thinking_tokens": 12}, {"num_waits": 2}, {"max_thinking_tokens": 0}], ids=str
)
def test_a_stream_equals_the_whole_reply(server: RunningServer, questions: list[str], budget: dict[str, Any]) -> None:
    whole = server.chat(**ask(questions[1], **budget)).json()
    response = server.chat(**ask(questions[1], **budget, stream=True, stream_options={"include_usage": True}))
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, last = events(response)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    message = whole["choices"][0]["message"]
    for name in ("reasoning", "reasoning_content", "content"):
        assert "".join(delta.get(name) or "" for delta in deltas) == (message[name] or "")
    assert all(delta.get("reasoning") == delta.get("reasoning_content") for delta in deltas)
    ended = [choice for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert [choice["thinking"] for choice in ended] == [whole["choices"][0]["thinking"]]
    assert not any("thinking" in choice for chunk in chunks[:-1] for choice in chunk["choices"])
    assert last["choices"] == []
    assert last["usage"]["completion_tokens_details"] == whole["usage"]["completion_tokens_details"]


def test_continuous_usage_grows_to_the_total(server: RunningServer, questions: list[str]) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    *chunks, last = events(server.chat(**ask(questions[0], num_waits=1, stream=True, stream_options=options)))
    reported = [chunk["usage"]["completion_tokens_details"]["reasoning_tokens"] for chunk in chunks]
    assert reported[0] == 0
    assert reported == sorted(reported)
    assert reported[-1] == last["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


def test_each_of_several_choices_has_its_own_report(
    client: OpenAI, counter: ReplyCounter, questions: list[str]
) -> None:
    request = ask(questions[2], n=4) | {"temperature": 1.5}
    budget = {"max_thinking_tokens": 60, "num_waits": 1, "return_token_ids": True}
    reply = client.chat.completions.create(**request, extra_body=budget)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    counts = [counter.count(choice.token_ids, 60) for choice in reply.choices]
    assert [choice.thinking["tokens"] for choice in reply.choices] == counts
    assert reply.usage is not None
    assert reply.usage.completion_tokens_details is not None
    assert reply.usage.completion_tokens_details.reasoning_tokens == sum(counts)
    for choice in reply.choices:
        if choice.thinking["ended_by"] == "model":
            assert choice.thinking["waits"] == 1


def test_each_choice_of_a_stream_ends_with_its_own_report(
    client: OpenAI, counter: ReplyCounter, questions: list[str]
) -> None:
    request = ask(questions[2], n=3, stream=True, stream_options={"include_usage": True}) | {"temperature": 1.5}
    ids: dict[int, list[int]] = {0: [], 1: [], 2: []}
    reports: dict[int, dict[str, Any]] = {}
    usage = None
    for chunk in client.chat.completions.create(
        **request, extra_body={"max_thinking_tokens": 40, "num_waits": 2, "return_token_ids": True}
    ):
        for choice in chunk.choices:
            ids[choice.index] += getattr(choice, "token_ids", None) or []
            if choice.finish_reason:
                assert choice.index not in reports
                reports[choice.index] = choice.thinking
        usage = chunk.usage or usage
    counts = {index: counter.count(tokens, 40) for index, tokens in ids.items()}
    assert {index: report["tokens"] for index, report in reports.items()} == counts
    assert usage is not None
    assert usage.completion_tokens_details.reasoning_tokens == sum(counts.values())


def test_thinking_that_the_prompt_opened_is_counted_from_there(
    server: RunningServer, counter: ReplyCounter, questions: list[str]
) -> None:
    begun = {"role": "assistant", "content": "<|im_start|>think\n0 + "}
    request = ask(questions[0], add_generation_prompt=False, continue_final_message=True, return_token_ids=True)
    request["messages"].append(begun)
    for budget in ({}, {"max_thinking_tokens": 10}, {"num_waits": 1}):
        whole = server.chat(**request, **budget).json()
        choice = whole["choices"][0]
        count = counter.count(choice["token_ids"], budget.get("max_thinking_tokens"), opened=True)
        assert choice["thinking"]["tokens"] == count > 0
        assert whole["usage"]["completion_tokens_details"]["reasoning_tokens"] == count
        assert choice["message"]["reasoning"]
        *chunks, _ = [*events(server.chat(**request, **budget, stream=True)), None]
        deltas = [part["delta"] for chunk in chunks if chunk for part in chunk["choices"]]
        assert "".join(delta.get("reasoning") or "" for delta in deltas) == choice["message"]["reasoning"]
        assert "".join(delta.get("content") or "" for delta in deltas) == choice["message"]["content"]


def test_a_reply_cut_while_thinking_is_reported(
    server: RunningServer, counter: ReplyCounter, questions: list[str]
) -> None:
    choice = server.chat(**ask(questions[0], max_tokens=10, num_waits=1, return_token_ids=True)).json()["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["thinking"]["ended_by"] == "length"
    assert choice["thinking"]["tokens"] == counter.count(choice["token_ids"], None) > 0
    assert choice["message"]["content"] is None


def test_auto_leaves_room_for_an_answer(client: OpenAI, counter: ReplyCounter, questions: list[str]) -> None:
    around = len(counter.encode("<|im_start|>think\n<|im_start|>answer\nFinal Answer:"))
    choice = client.chat.completions.create(
        **ask(questions[0], max_tokens=100), extra_body={"max_thinking_tokens": "auto", "num_waits": 30}
    ).choices[0]
    assert choice.thinking["max_thinking_tokens"] == 100 - around - 25
    assert choice.thinking["ended_by"] == "cap"
    assert choice.finish_reason == "stop"
    assert choice.message.content


def test_a_cap_that_is_never_reached_does_not_change_a_reply(client: OpenAI, questions: list[str]) -> None:
    plain = client.chat.completions.create(**ask(questions[3]), extra_body={"return_token_ids": True}).choices[0]
    capped = client.chat.completions.create(
        **ask(questions[3]), extra_body={"return_token_ids": True, "max_thinking_tokens": 3000}
    ).choices[0]
    assert plain.thinking["set_by"] == {"max_thinking_tokens": "default"}
    assert capped.thinking["max_thinking_tokens"] == 3000
    assert plain.token_ids == capped.token_ids


async def test_many_at_once_keep_their_budgets_apart(async_client: AsyncOpenAI, questions: list[str]) -> None:
    async def one(question: str, cap: int) -> tuple[int, int, int]:
        reply = await async_client.chat.completions.create(
            **ask(question), extra_body={"max_thinking_tokens": cap, "num_waits": 4}
        )
        thinking = reply.choices[0].thinking
        return cap, thinking["max_thinking_tokens"], thinking["tokens"]

    results = await asyncio.gather(*(one(question, 5 + index) for index, question in enumerate(questions[:24])))
    assert all(cap == reported and tokens <= cap for cap, reported, tokens in results)


async def test_a_stream_of_the_asynchronous_sdk(async_client: AsyncOpenAI, questions: list[str]) -> None:
    stream = await async_client.chat.completions.create(
        **ask(questions[0]), stream=True, extra_body={"max_thinking_tokens": 12}
    )
    parts = [choice async for chunk in stream for choice in chunk.choices]
    assert parts[-1].thinking["tokens"] == 12
    assert parts[-1].thinking["ended_by"] == "cap"
    assert "".join(getattr(part.delta, "reasoning", None) or "" for part in parts)
    assert "".join(part.delta.content or "" for part in parts).startswith("\nFinal Answer:")
