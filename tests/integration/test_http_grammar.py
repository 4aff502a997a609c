"""Structured output and tool calls with budgets, on a model that thinks, never thinks, or calls tools at random.

A grammar begins exactly where the thinking ends, whatever ends it; what is behind it is valid.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tenuto_testing.byte_tokenizer import make_tokenizer
from tenuto_testing.servers import RunningServer
from tenuto_testing.thinker_model import MARKERS, NAME, TEMPLATE

FLAG = {
    "type": "object",
    "properties": {"yes": {"type": "boolean"}, "kind": {"enum": ["a", "b"]}},
    "required": ["yes", "kind"],
    "additionalProperties": False,
}
FORMATS: Mapping[str, dict[str, Any]] = {
    "schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "flag", "schema": FLAG}}},
    "regex": {"structured_outputs": {"regex": "[ab]{3}-[cd]"}},
    "choice": {"structured_outputs": {"choice": ["ab", "cd"]}},
    "grammar": {"structured_outputs": {"grammar": 'root ::= "x" ("a" | "b") "y"'}},
}
BUDGETS: Sequence[dict[str, Any]] = (
    {},
    {"max_thinking_tokens": 0},
    {"max_thinking_tokens": 7},
    {"max_thinking_tokens": 90, "min_thinking_tokens": 30},
    {"num_waits": 2, "max_thinking_tokens": 100},
    {"min_thinking_tokens": 20, "max_thinking_tokens": 20, "cap_text": "\nso.\n"},
    {"thinking_token_budget": 5},
)
TOOLS = [
    {"type": "function", "function": {"name": "add", "strict": True, "parameters": FLAG}},
    {"type": "function", "function": {"name": "stop", "strict": True, "parameters": FLAG}},
]
ONE = {"type": "function", "function": {"name": "add"}}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer(TEMPLATE, MARKERS)


def ask(server: RunningServer, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hello"}]
    response = server.chat(**{"model": NAME, "messages": messages, "max_tokens": 300, "return_token_ids": True, **more})
    assert response.status_code == 200, response.text
    reply: dict[str, Any] = response.json()
    return reply


def choices(server: RunningServer, **more: Any) -> Iterator[dict[str, Any]]:
    """Six replies to the same prompt."""
    yield from ask(server, seed=1, n=6, **more)["choices"]


def blocks(tokenizer: Any, ids: Sequence[int], *, opened: bool = False, openers: Sequence[str] = ()) -> list[list[int]]:
    """The blocks of thinking in the ids: from `<think>` to the token that ends it."""
    start = tokenizer.convert_tokens_to_ids("<think>")
    ends = {tokenizer.convert_tokens_to_ids(text) for text in ("</think>", *openers)}
    found: list[list[int]] = []
    inside = opened
    if opened:
        found.append([])
    for token in ids:
        if not inside:
            if token == start:
                inside = True
                found.append([])
        elif token in ends:
            inside = False
        else:
            found[-1].append(token)
    return found


def sizes(tokenizer: Any, found: Sequence[list[int]], cap: int | None, *, each: bool = False) -> list[int]:
    """Thinking tokens of the blocks. The line break that the cap writes before an end marker is none.

    Args:
        each: the cap is one for each block.
    """
    newline, counted = tokenizer.encode("\n"), list[int]()
    for block in found:
        total = len(block) + (0 if each else sum(counted))
        forced = cap is not None and total == cap + 1 and block[-1:] == newline
        counted.append(len(block) - forced)
    return counted


def check_budget(choice: dict[str, Any], tokenizer: Any, budget: Mapping[str, Any], *, opened: bool = False) -> None:
    """The report agrees with a recount, the reply with the budget; nothing but the end marker ends thinking here."""
    thinking = choice["thinking"]
    found = blocks(tokenizer, choice["token_ids"], opened=opened)
    assert len(found) <= 1
    cap = budget.get("max_thinking_tokens", budget.get("thinking_token_budget"))
    assert thinking["tokens"] == sum(sizes(tokenizer, found, cap))
    assert cap is None or thinking["tokens"] <= cap
    if thinking["ended_by"] != "cap":
        assert thinking["tokens"] >= budget.get("min_thinking_tokens", 0)
        assert thinking["waits"] >= budget.get("num_waits", 0)


def check_format(name: str, text: str) -> None:
    if name == "schema":
        value = json.loads(text)
        assert isinstance(value.pop("yes"), bool)
        assert value in ({"kind": "a"}, {"kind": "b"})
    elif name == "regex":
        assert re.fullmatch("[ab]{3}-[cd]", text)
    else:
        assert text in {"choice": ("ab", "cd"), "grammar": ("xay", "xby")}[name]


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
def test_an_answer_follows_its_grammar_however_the_thinking_ended(
    thinker: RunningServer, tokenizer: Any, budget: dict[str, Any]
) -> None:
    """The model rarely opens its thinking, so it has to be opened even without a budget."""
    ended = set()
    for name, form in FORMATS.items():
        for choice in choices(thinker, **form, **budget):
            check_format(name, choice["message"]["content"])
            check_budget(choice, tokenizer, budget)
            assert choice["finish_reason"] == "stop"
            assert choice["message"]["reasoning"] is not None or choice["thinking"]["tokens"] == 0
            ended.add(choice["thinking"]["ended_by"])
    if budget.get("max_thinking_tokens") == 0:
        assert ended == {"none"}, "the chat template has closed the thinking"
        return
    assert ended <= {"model", "cap", "stop_token"}
    assert "cap" in ended or budget.get("max_thinking_tokens", 90) >= 90


@pytest.mark.parametrize("budget", BUDGETS[:3], ids=str)
def test_a_grammar_where_thinking_is_switched_off_or_opened_by_the_prompt(
    thinker: RunningServer, tokenizer: Any, budget: dict[str, Any]
) -> None:
    for template, opened in ({"enable_thinking": False}, False), ({"open_thinking": True}, True):
        for choice in choices(thinker, **FORMATS["schema"], **budget, chat_template_kwargs=template):
            check_format("schema", choice["message"]["content"])
            check_budget(choice, tokenizer, budget, opened=opened)
            assert opened or choice["thinking"] | {"set_by": None} == {
                **choice["thinking"],
                "tokens": 0,
                "waits": 0,
                "ended_by": "none",
                "set_by": None,
            }


def test_thinking_that_is_not_shown_takes_place_before_the_grammar(thinker: RunningServer) -> None:
    """vLLM alone would apply the grammar from the first token on, which prevents thinking."""
    budget = {"min_thinking_tokens": 9, "max_thinking_tokens": 12}
    for choice in choices(thinker, **FORMATS["schema"], **budget, include_reasoning=False):
        check_format("schema", choice["message"]["content"])
        assert 9 <= choice["thinking"]["tokens"] <= 12
        assert choice["message"]["reasoning"] is None


def test_markers_inside_json_are_text(thinker: RunningServer, tokenizer: Any) -> None:
    """JSON may contain any token, also `<think>`: once this was treated as a second block and closed by force."""
    whole = 0
    for liking in (0, 6):
        bias = {str(tokenizer.convert_tokens_to_ids("<think>")): liking}
        for choice in choices(
            thinker, response_format={"type": "json_object"}, max_thinking_tokens=9, logit_bias=bias, cap_text=""
        ):
            check_budget(choice, tokenizer, {"max_thinking_tokens": 9})
            if choice["finish_reason"] == "stop":
                assert isinstance(json.loads(choice["message"]["content"]), dict)
                whole += 1
    assert whole > 4


@pytest.mark.parametrize("budget", BUDGETS[:5], ids=str)
@pytest.mark.parametrize("wanted", ["required", ONE], ids=["required", "named"])
def test_a_tool_call_that_is_required_comes_after_the_thinking(
    thinker: RunningServer, tokenizer: Any, wanted: Any, budget: dict[str, Any]
) -> None:
    for choice in choices(thinker, tools=TOOLS, tool_choice=wanted, parallel_tool_calls=False, **budget):
        (call,) = calls(choice)
        assert call["function"]["name"] in ("add", "stop")[: 1 if wanted is ONE else 2]
        check_format("schema", call["function"]["arguments"])
        check_budget(choice, tokenizer, budget)
        assert not choice["message"]["content"]


@pytest.mark.parametrize("budget", BUDGETS[1:5:2], ids=str)
def test_a_stream_has_the_calls_and_the_json_of_the_whole_reply(thinker: RunningServer, budget: dict[str, Any]) -> None:
    for form in (
        {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False},
        {"tools": TOOLS, "tool_choice": ONE, "parallel_tool_calls": False},
        FORMATS["schema"],
    ):
        pieces = streamed(thinker, **form, **budget)
        for whole, (reasoning, content, name, arguments) in zip(
            choices(thinker, **form, **budget), pieces, strict=True
        ):
            assert (reasoning, content) == (whole["message"]["reasoning"] or "", whole["message"]["content"] or "")
            called = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls(whole)]
            assert ([(name, json.loads(arguments))] if name else []) == called


def test_the_opener_of_a_tool_call_ends_the_thinking(thinker: RunningServer, tokenizer: Any) -> None:
    """So no end is forced inside a call: the cap no longer applies there."""
    opener = tokenizer.convert_tokens_to_ids("<tool_call>")
    called = 0
    lax = [{"type": "function", "function": {"name": "add", "parameters": FLAG}}]  # no grammar comes with it
    for choice in choices(
        thinker,
        tools=lax,
        max_thinking_tokens=12,
        chat_template_kwargs={"open_thinking": True},
        logit_bias={str(opener): 5.0, str(tokenizer.convert_tokens_to_ids("<think>")): -100},
    ):
        ids = choice["token_ids"]
        (block,) = blocks(tokenizer, ids, opened=True, openers=["<tool_call>"])
        assert choice["thinking"]["tokens"] == sum(sizes(tokenizer, [block], 12)) <= 12
        if ids[len(block)] == opener:
            called += 1
            assert choice["thinking"]["ended_by"] == "model"
            assert choice["message"]["content"].startswith("<tool_call>")
        else:
            assert choice["thinking"]["ended_by"] in ("model", "cap", "stop_token")
    assert called > 2


def test_a_call_that_a_grammar_checks_comes_after_an_end_marker(thinker: RunningServer, tokenizer: Any) -> None:
    """With strict tools the grammar has to see the opener: while thinking, an attempt to call ends that first."""
    opener = tokenizer.convert_tokens_to_ids("<tool_call>")
    called = 0
    for choice in choices(
        thinker,
        tools=TOOLS,
        max_thinking_tokens=12,
        chat_template_kwargs={"open_thinking": True},
        logit_bias={str(opener): 3.0},
    ):
        check_budget(choice, tokenizer, {"max_thinking_tokens": 12}, opened=True)
        for call in calls(choice):
            called += 1
            if choice["finish_reason"] != "length":  # a call that was cut is returned as far as it came
                check_format("schema", call["function"]["arguments"])
        after = tokenizer.decode(choice["token_ids"]).partition("</think>")[2]
        assert opener not in choice["token_ids"] or "<tool_call>" in after
    assert called > 2


def test_several_blocks_share_a_budget_or_have_one_each(thinker: RunningServer, tokenizer: Any) -> None:
    likes = {text: str(tokenizer.convert_tokens_to_ids(text)) for text in ("<think>", "</think>", "<|im_end|>")}
    bias = {likes["<think>"]: 3.0, likes["</think>"]: -1.0, likes["<|im_end|>"]: -2.0}
    most = 0
    for scope in ("response", "block"):
        for tools in ({}, {"tools": TOOLS}):
            request = {
                "max_thinking_tokens": 15,
                "cap_text": "",
                "scope": scope,
                "logit_bias": bias,
                "max_tokens": 90,
                **tools,
            }
            pieces = streamed(thinker, **request)
            for choice, (reasoning, content, _, _) in zip(choices(thinker, **request), pieces, strict=True):
                found = blocks(tokenizer, choice["token_ids"], openers=["<tool_call>"])
                counted = sizes(tokenizer, found, 15, each=scope == "block")
                most = max(most, len(counted))
                assert choice["thinking"]["tokens"] == sum(counted)
                assert max(counted, default=0) <= 15
                assert scope == "block" or sum(counted) <= 15
                texts = [tokenizer.decode(block).replace("<think>", "") for block in found]
                # A block as the template writes it in place of thinking is no reasoning.
                text = "".join(text for text in texts if text not in ("\n", "\n\n"))
                assert reasoning == (choice["message"]["reasoning"] or "") == text
                assert "<think>" not in content + (choice["message"]["content"] or "")
    assert most > 2


def calls(choice: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = choice["message"].get("tool_calls") or []
    return found


def streamed(server: RunningServer, **more: Any) -> list[tuple[str, str, str, str]]:
    """For each of six streamed replies: reasoning, content, and names and arguments of the calls."""
    messages = [{"role": "user", "content": "hello"}]
    response = server.chat(
        **{"model": NAME, "messages": messages, "max_tokens": 300, "seed": 1, "n": 6, **more}, stream=True
    )
    frames = [frame.removeprefix("data: ") for frame in response.text.split("\n\n") if frame]
    assert frames[-1] == "[DONE]"
    parts = [choice for frame in frames[:-1] for choice in json.loads(frame)["choices"]]
    return [together([part["delta"] for part in parts if part["index"] == index]) for index in range(6)]


def together(deltas: Sequence[dict[str, Any]]) -> tuple[str, str, str, str]:
    functions = [call["function"] for delta in deltas for call in delta.get("tool_calls") or ()]
    return (
        "".join(delta.get("reasoning") or "" for delta in deltas),
        "".join(delta.get("content") or "" for delta in deltas),
        "".join(function.get("name") or "" for function in functions),
        "".join(function.get("arguments") or "" for function in functions),
    )
