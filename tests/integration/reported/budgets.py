"""What requests say about thinking under any name, and what they get by default."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from tenuto_testing.reported_case import Case

CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
QUESTION = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"
BILL = {"role": "user", "content": QUESTION}
TEXT = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
#: By endpoint: the question in its form, and its name for the limit.
ASKED: Mapping[str, tuple[dict[str, Any], str]] = {
    CHAT: ({"messages": [BILL]}, "max_tokens"),
    COMPLETIONS: ({"prompt": TEXT}, "max_tokens"),
    RESPONSES: ({"input": QUESTION}, "max_output_tokens"),
    MESSAGES: ({"messages": [BILL], "max_tokens": 200}, "max_tokens"),
}
BY_DEFAULT = {"max_thinking_tokens": "default"}


def ask(path: str, tokens: int = 200, **more: Any) -> dict[str, Any]:
    body, limit = ASKED[path]
    return {**body, limit: tokens, "temperature": 0, **more}


def report(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The report of the only choice, on any endpoint."""
    found = (
        reply["choices"][0]["thinking"] if "choices" in reply else reply.get("thinking_report", reply.get("thinking"))
    )
    return dict(found[0] if isinstance(found, list) else found)


def answer(reply: Mapping[str, Any]) -> str:
    """The text of the answer, on any endpoint; for a completion, all of its text."""
    if "choices" in reply:
        choice = reply["choices"][0]
        return str(choice["text"] if "text" in choice else choice["message"].get("content") or "")
    if "output" in reply:
        messages = [item for item in reply["output"] if item["type"] == "message"]
        return "".join(part["text"] for item in messages for part in item["content"])
    return "".join(block["text"] for block in reply["content"] if block["type"] == "text")


def capped(cap: int | None, by: str) -> Callable[[Any], None]:
    def check(reply: Any) -> None:
        found = report(reply)
        assert found["max_thinking_tokens"] == cap, found
        assert found["set_by"] == {"max_thinking_tokens": by}, found
        assert cap is None or found["tokens"] <= cap

    return check


def answered_by_default(reply: Any) -> None:
    assert answer(reply).strip("\n"), reply
    assert report(reply)["set_by"] == BY_DEFAULT


def answered_without_a_budget(reply: Any) -> None:
    assert answer(reply), reply
    assert report(reply)["set_by"] == {}


def has_no_default(reply: Any) -> None:
    assert (report(reply)["set_by"], report(reply)["max_thinking_tokens"]) == ({}, None)
    assert "Final Answer" not in answer(reply)


HONOURED: Mapping[str, tuple[dict[str, Any], int | None, str]] = {
    "think: false": ({"think": False}, 0, "think"),
    "think: low": ({"think": "low"}, None, "reasoning_effort"),
    "thinking_config": ({"thinking_config": {"thinking_budget": 12}}, 12, "thinking_config.thinking_budget"),
    "google.thinking_config": (
        {"google": {"thinking_config": {"thinking_budget": 12, "include_thoughts": True}}},
        12,
        "google.thinking_config.thinking_budget",
    ),
    "generationConfig": (
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}},
        0,
        "generationConfig.thinkingConfig.thinkingBudget",
    ),
    "logits_processors_args": (
        {"logits_processors_args": {"thinking_budget": 12}},
        12,
        "logits_processors_args.thinking_budget",
    ),
    "custom_params": (
        {"sampling_params": {"custom_params": {"thinking_budget": 12}}},
        12,
        "sampling_params.custom_params.thinking_budget",
    ),
    "thinking_level": ({"thinking_level": "low"}, None, "reasoning_effort"),
    "enable_thinking for a template without it": (
        {"chat_template_kwargs": {"enable_thinking": False}},
        0,
        "chat_template_kwargs.enable_thinking",
    ),
    "thinking for a template without it": (
        {"chat_template_kwargs": {"thinking": False}},
        0,
        "chat_template_kwargs.thinking",
    ),
}

REFUSED: Mapping[str, tuple[dict[str, Any], str, str]] = {
    "thinking_mode": ({"thinking_mode": "off"}, "thinking_mode", "send max_thinking_tokens"),
    "enable_thinking as text": (
        {"chat_template_kwargs": {"enable_thinking": "false"}},
        "chat_template_kwargs.enable_thinking",
        "neither true nor false",
    ),
    "a variable that the template has not": (
        {"chat_template_kwargs": {"keep_thinking": True}},
        "chat_template_kwargs.keep_thinking",
        "no variable of the chat template",
    ),
    "reasoning.exclude": ({"reasoning": {"exclude": True}}, "reasoning.exclude", "include_reasoning"),
    "output_config.task_budget": (
        {"output_config": {"effort": "high", "task_budget": {"type": "tokens", "total": 20}}},
        "output_config.task_budget",
        "send max_tokens",
    ),
    "output_format": (
        {"output_format": {"type": "json_schema", "schema": {"type": "object"}}},
        "output_format",
        "output_config.format",
    ),
}


def _named() -> Iterator[Case]:
    for path, (name, (fields, cap, by)) in product(ASKED, HONOURED.items()):
        check = capped(cap, by) if cap is not None else _by_effort
        yield Case(name=f"{path}: {name} is honoured", path=path, body=ask(path, **fields), check=check)
    for path, (name, (fields, param, message)) in product(ASKED, REFUSED.items()):
        yield Case(
            name=f"{path}: {name} is refused",
            path=path,
            body=ask(path, **fields),
            status=400,
            param=param,
            message=message,
        )


def _by_effort(reply: Any) -> None:
    assert report(reply)["set_by"] == {"max_thinking_tokens": "reasoning_effort"}


def _by_default() -> Iterator[Case]:
    for path, tokens in product(ASKED, (1, 5, 10, 16, 64)):
        for server in ("server", "thinker"):
            yield Case(
                name=f"{path}: a reply of {tokens} tokens has an answer on {server}",
                path=path,
                body=ask(path, tokens),
                check=answered_by_default,
                server=server,
            )
    opened = {"chat_template_kwargs": {"open_thinking": True}}
    for tokens in (2, 5, 16, 64):
        yield Case(
            name=f"an answer follows thinking that the template has opened, in {tokens} tokens",
            path=CHAT,
            body=ask(CHAT, tokens, **opened),
            check=answered_by_default,
            server="thinker",
        )
    yield Case(
        name="what the template knows switches thinking off in its own way",
        path=CHAT,
        body=ask(CHAT, 20, chat_template_kwargs={"enable_thinking": False}),
        check=capped(0, "chat_template_kwargs.enable_thinking"),
        server="thinker",
    )
    for name, prompt in (("a text", "Once upon a time"), ("token ids", [90, 91, 92]), ("one letter", "x")):
        yield Case(
            name=f"a prompt of {name} is no chat and has no default",
            path=COMPLETIONS,
            body={"prompt": prompt, "max_tokens": 40, "temperature": 0},
            check=has_no_default,
        )
    yield Case(
        name="a text keeps a cap that it asks for",
        path=COMPLETIONS,
        body={"prompt": "x", "max_tokens": 40, "temperature": 0, "max_thinking_tokens": 5},
        check=capped(5, "request"),
    )


#: Requests that a budget would be refused with, by what they have.
YIELDS: Mapping[str, dict[str, Any]] = {
    "many stop_token_ids": {"stop_token_ids": [198, *range(300, 340)]},
    "a stop token of a forced text": {"stop_token_ids": [25]},
    "a grammar": {"structured_outputs": {"regex": "[0-9]{3}"}},
}


def _yielding() -> Iterator[Case]:
    for path, (name, fields) in product((CHAT, COMPLETIONS), YIELDS.items()):
        yield Case(
            name=f"{path}: the built-in cap yields to {name}",
            path=path,
            body=ask(path, 60, **fields),
            check=lambda reply: capped(None, "")({**reply}) if report(reply)["set_by"] else None,
        )
    for path, prompt in ((CHAT, {"messages": [BILL]}), (COMPLETIONS, {"prompt": TEXT})):
        yield Case(
            name=f"{path}: beam search goes on without a budget",
            path=path,
            body={**prompt, "use_beam_search": True, "n": 2, "max_tokens": 8, "temperature": 0},
            streams=False,
        )


CASES: list[Case] = [*_named(), *_by_default(), *_yielding()]
