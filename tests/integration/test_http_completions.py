"""Budgets on `/v1/completions`: several prompts, several choices, echoed prompts, streams; recounted from tokens."""

import json
from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI
from openai.types import Completion

from tenuto_testing.reply_counter import ReplyCounter
from tenuto_testing.servers import MODEL, RunningServer

BUDGETS: list[dict[str, Any]] = [
    {},
    {"max_thinking_tokens": 0},
    {"max_thinking_tokens": 12},
    {"num_waits": 3, "max_thinking_tokens": 40},
    {"min_thinking_tokens": 60},
    {"thinking_token_budget": 12},
]


def prompt(question: str, begun: str = "") -> str:
    """A question in the chat template's format."""
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{begun}"


def ask(*prompts: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "prompt": list(prompts), "max_tokens": 800, "temperature": 0, **more}


def reasoning_tokens(completion: Completion) -> int | None:
    assert completion.usage is not None
    assert completion.usage.completion_tokens_details is not None
    return completion.usage.completion_tokens_details.reasoning_tokens


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_a_completion_keeps_its_budget_and_its_figures_equal_a_recount(
    client: OpenAI, counter: ReplyCounter, questions: list[str], budget: dict[str, Any]
) -> None:
    cap = budget.get("max_thinking_tokens", budget.get("thinking_token_budget"))
    reply = client.completions.create(**ask(prompt(questions[0])), extra_body={**budget, "return_token_ids": True})
    choice = reply.choices[0]
    thinking = choice.thinking
    assert thinking["tokens"] == counter.count(choice.token_ids, cap) == reasoning_tokens(reply)
    if cap is None:
        assert thinking["set_by"]["max_thinking_tokens"] == "default"
    else:
        assert thinking["max_thinking_tokens"] == cap
    assert thinking["min_thinking_tokens"] == budget.get("min_thinking_tokens", 0)
    assert thinking["tokens"] <= (1000 if cap is None else cap)
    if thinking["ended_by"] == "model":
        assert thinking["tokens"] >= budget.get("min_thinking_tokens", 0)
        assert thinking["waits"] >= budget.get("num_waits", 0)


def test_each_choice_of_each_prompt_has_its_own_report(
    client: OpenAI, counter: ReplyCounter, questions: list[str]
) -> None:
    """The second prompt has already opened the thinking, the third has closed it."""
    prompts = [
        prompt(questions[0]),
        prompt(questions[1], "<|im_start|>think\n0 + "),
        prompt(questions[2], "<|im_start|>think\n9\n<|im_start|>answer\n"),
    ]
    budget = {"max_thinking_tokens": 30, "return_token_ids": True}
    reply = client.completions.create(**ask(*prompts, n=2) | {"temperature": 1.5}, extra_body=budget)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3, 4, 5]
    counts = [counter.count(choice.token_ids, 30, opened=choice.index in (2, 3)) for choice in reply.choices[:4]]
    assert [choice.thinking["tokens"] for choice in reply.choices] == [*counts, 0, 0]
    assert reasoning_tokens(reply) == sum(counts) > 0


def test_an_echoed_prompt_is_not_counted(client: OpenAI, counter: ReplyCounter, questions: list[str]) -> None:
    begun = prompt(questions[0], "<|im_start|>think\n0 + ")
    plain, echoed = (
        client.completions.create(**ask(begun, echo=echo), extra_body={"max_thinking_tokens": 9}).choices[0]
        for echo in (False, True)
    )
    assert echoed.thinking == plain.thinking
    assert echoed.thinking["tokens"] == 9
    assert echoed.text == begun + plain.text
    nothing = client.completions.create(**ask(begun, echo=True) | {"max_tokens": 0})
    assert nothing.choices[0].text == begun


def chunks(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"].startswith("text/event-stream")
    frames = response.text.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


@pytest.mark.parametrize("budget", [{}, {"max_thinking_tokens": 12}, {"num_waits": 2}], ids=str)
def test_a_stream_equals_the_whole_reply(server: RunningServer, questions: list[str], budget: dict[str, Any]) -> None:
    request = ask(prompt(questions[0]), prompt(questions[1]), **budget)
    whole = server.post("/v1/completions", **request).json()
    options = {"include_usage": True}
    *parts, last = chunks(server.post("/v1/completions", **request, stream=True, stream_options=options))
    for choice in whole["choices"]:
        own = [part for chunk in parts for part in chunk["choices"] if part["index"] == choice["index"]]
        assert "".join(part["text"] for part in own) == choice["text"]
        assert own[-1]["thinking"] == choice["thinking"]
        assert own[-1]["finish_reason"] == choice["finish_reason"]
        assert not any("thinking" in part for part in own[:-1])
    assert last["choices"] == []
    assert last["usage"] == {name: value for name, value in whole["usage"].items() if value is not None}
    assert last["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


def test_each_choice_of_a_stream_ends_with_its_own_report(
    client: OpenAI, counter: ReplyCounter, questions: list[str]
) -> None:
    prompts = [prompt(question) for question in questions[:2]]
    request = ask(*prompts, n=2, stream=True, stream_options={"include_usage": True}) | {"temperature": 1.5}
    ids: dict[int, list[int]] = {index: [] for index in range(4)}
    reports: dict[int, dict[str, Any]] = {}
    usage = None
    for chunk in client.completions.create(**request, extra_body={"max_thinking_tokens": 40, "return_token_ids": True}):
        for choice in chunk.choices:
            ids[choice.index] += choice.token_ids or []
            if choice.finish_reason:
                assert choice.index not in reports
                reports[choice.index] = choice.thinking
        usage = chunk.usage or usage
    counts = {index: counter.count(tokens, 40) for index, tokens in ids.items()}
    assert {index: report["tokens"] for index, report in reports.items()} == counts
    assert usage is not None
    assert usage.completion_tokens_details.reasoning_tokens == sum(counts.values())


def test_continuous_usage_grows_to_the_total(server: RunningServer, questions: list[str]) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    request = ask(prompt(questions[0]), num_waits=1, stream=True, stream_options=options)
    *parts, last = chunks(server.post("/v1/completions", **request))
    reported = [chunk["usage"]["completion_tokens_details"]["reasoning_tokens"] for chunk in parts]
    assert all(tokens <= chunk["usage"]["completion_tokens"] for tokens, chunk in zip(reported, parts, strict=True))
    assert reported == sorted(reported)
    assert reported[-1] == last["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


def test_a_stream_of_the_sdk(client: OpenAI, questions: list[str]) -> None:
    stream = client.completions.create(**ask(prompt(questions[0])), stream=True, extra_body={"max_thinking_tokens": 12})
    parts = [choice for chunk in stream for choice in chunk.choices]
    assert parts[-1].thinking["tokens"] == 12
    assert parts[-1].thinking["ended_by"] == "cap"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"max_thinking_tokens": -1}, "max_thinking_tokens", "-1 is not between 0 and"),
        ({"max_thinking_tokens": 16, "max_tokens": None}, "max_thinking_tokens", "max_tokens, which is 16"),
        ({"max_thinking_tokens": 5, "use_beam_search": True, "n": 2}, "max_thinking_tokens", "beam search"),
    ],
    ids=str,
)
def test_an_invalid_budget_is_a_400_before_anything_is_generated(
    server: RunningServer, questions: list[str], fields: dict[str, Any], param: str, message: str, stream: bool
) -> None:
    before = server.gauge("vllm:generation_tokens_total")
    response = server.post("/v1/completions", **ask(prompt(questions[0]), stream=stream) | fields)
    error = response.json()["error"]
    assert response.status_code == error["code"] == 400
    assert (error["type"], error["param"]) == ("BadRequestError", param)
    assert message in error["message"]
    assert server.gauge("vllm:generation_tokens_total") == before


def test_one_invalid_prompt_refuses_the_request(client: OpenAI, server: RunningServer, questions: list[str]) -> None:
    """The second prompt has closed the thinking, so waits are impossible."""
    closed = prompt(questions[1], "<|im_start|>think\n9\n<|im_start|>answer\n")
    before = server.gauge("vllm:generation_tokens_total")
    with pytest.raises(BadRequestError) as wrong:
        client.completions.create(**ask(prompt(questions[0]), closed), extra_body={"num_waits": 1})
    assert wrong.value.param == "num_waits"
    assert server.gauge("vllm:generation_tokens_total") == before


def test_beam_search_works_without_a_report(server: RunningServer, questions: list[str]) -> None:
    request = ask(prompt(questions[0]), n=2, use_beam_search=True) | {"max_tokens": 2}
    reply = server.post("/v1/completions", **request).json()
    assert [choice["thinking"] for choice in reply["choices"]] == [None, None]
