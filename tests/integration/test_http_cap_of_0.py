"""A cap of 0 renders the prompt as the chat template writes it without thinking, wherever chats are rendered."""

from collections.abc import Mapping
from typing import Any

import pytest

from tenuto_testing.byte_tokenizer import make_tokenizer
from tenuto_testing.reported_case import events
from tenuto_testing.servers import RunningServer
from tenuto_testing.thinker_model import MARKERS, NAME, TEMPLATE

ASK = [{"role": "user", "content": "hello"}]
OPEN = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
CLOSED = f"{OPEN}<think>\n\n</think>\n\n"
CHAT: Mapping[str, Any] = {"model": NAME, "messages": ASK, "max_tokens": 20, "temperature": 0}
TOKENIZER = make_tokenizer(TEMPLATE, MARKERS)

#: Every way to say it, with the name that the report gives.
CAPS: list[tuple[dict[str, Any], str]] = [
    ({"max_thinking_tokens": 0}, "request"),
    ({"reasoning_effort": "none"}, "reasoning_effort"),
    ({"think": False}, "think"),
    ({"enable_thinking": False}, "enable_thinking"),
    ({"thinking": {"type": "disabled"}}, "thinking.type"),
    ({"chat_template_kwargs": {"enable_thinking": False}}, "chat_template_kwargs.enable_thinking"),
    # The template does not know this variable, and so gets the one that it knows.
    ({"chat_template_kwargs": {"thinking": False}}, "chat_template_kwargs.thinking"),
    ({"max_thinking_tokens": 0, "reasoning_effort": "high"}, "request"),
]


def decoded(ids: list[int]) -> str:
    text: str = TOKENIZER.decode(ids)
    return text


def is_off(report: dict[str, Any], set_by: str) -> bool:
    expected = {"tokens": 0, "waits": 0, "ended_by": "none", "max_thinking_tokens": 0, "min_thinking_tokens": 0}
    return report == {**expected, "set_by": {"max_thinking_tokens": set_by}}


@pytest.mark.parametrize(("fields", "set_by"), CAPS, ids=str)
def test_a_chat_has_the_templates_own_prompt_without_thinking(
    thinker: RunningServer, fields: dict[str, Any], set_by: str
) -> None:
    reply = thinker.chat(**CHAT, **fields, return_token_ids=True).json()
    assert decoded(reply["prompt_token_ids"]) == CLOSED
    (choice,) = reply["choices"]
    assert is_off(choice["thinking"], set_by)
    assert choice["message"]["reasoning"] is None
    assert "<think>" not in decoded(choice["token_ids"])
    assert decoded(thinker.post("/tokenize", model=NAME, messages=ASK, **fields).json()["tokens"]) == CLOSED


@pytest.mark.parametrize("fields", [{}, {"max_thinking_tokens": 4}, {"reasoning_effort": "low"}], ids=str)
def test_other_budgets_leave_the_prompt_as_it_is(thinker: RunningServer, fields: dict[str, Any]) -> None:
    reply = thinker.chat(**CHAT, **fields, return_token_ids=True).json()
    assert decoded(reply["prompt_token_ids"]) == OPEN
    assert decoded(thinker.post("/tokenize", model=NAME, messages=ASK, **fields).json()["tokens"]) == OPEN


def test_so_have_the_other_endpoints(thinker: RunningServer) -> None:
    size = len(TOKENIZER.encode(CLOSED))
    off, limit = {"max_thinking_tokens": 0}, {"model": NAME, "temperature": 0}
    batch = thinker.post("/v1/chat/completions/batch", **{**CHAT, "messages": [ASK, ASK]}, **off).json()
    assert batch["usage"]["prompt_tokens"] == 2 * size
    assert all(is_off(choice["thinking"], "request") for choice in batch["choices"])
    response = thinker.post("/v1/responses", **limit, input="hello", max_output_tokens=20, reasoning={"effort": "none"})
    assert response.json()["usage"]["input_tokens"] == size
    assert is_off(response.json()["thinking"][0], "reasoning_effort")
    disabled = {"thinking": {"type": "disabled"}}
    message = thinker.post("/v1/messages", **CHAT, **disabled).json()
    assert message["usage"]["input_tokens"] == size
    assert is_off(message["thinking_report"], "thinking.type")
    for fields in (off, disabled):
        count = thinker.post("/v1/messages/count_tokens", model=NAME, messages=ASK, **fields)
        assert count.json()["input_tokens"] == size


def test_a_stream_says_the_same(thinker: RunningServer) -> None:
    response = thinker.chat(**CHAT, max_thinking_tokens=0, stream=True, stream_options={"include_usage": True})
    *chunks, last = events(response.text)
    assert last["usage"]["prompt_tokens"] == len(TOKENIZER.encode(CLOSED))
    assert is_off(chunks[-1]["choices"][0]["thinking"], "request")
    assert not any(chunk["choices"][0]["delta"].get("reasoning") for chunk in chunks)


def test_what_the_request_gives_to_the_template_stands_and_the_cap_is_kept_by_force(thinker: RunningServer) -> None:
    for variables, prompt in (({"enable_thinking": True}, OPEN), ({"enable_thinking": True, "open_thinking": 1}, None)):
        reply = thinker.chat(
            **CHAT, max_thinking_tokens=0, chat_template_kwargs=variables, return_token_ids=True
        ).json()
        (choice,) = reply["choices"]
        assert decoded(reply["prompt_token_ids"]) == (prompt or f"{OPEN}<think>\n")
        assert (choice["thinking"]["tokens"], choice["thinking"]["max_thinking_tokens"]) == (0, 0)
        assert choice["message"]["reasoning"] is None
        assert "think>" not in choice["message"]["content"]


def test_thinking_that_goes_on_is_ended_and_not_refused(thinker: RunningServer) -> None:
    """The prompt must not have closed it."""
    begun = {"role": "assistant", "content": [{"type": "thinking", "thinking": "\nab", "signature": ""}]}
    message = thinker.post("/v1/messages", **{**CHAT, "messages": [*ASK, begun]}, max_thinking_tokens=0)
    assert message.status_code == 200, message.text
    size = len(TOKENIZER.encode(f"{OPEN}<think>\nab"))
    assert message.json()["usage"]["input_tokens"] == size
    assert message.json()["thinking_report"]["tokens"] == 0
    item = {"type": "reasoning", "id": "r", "summary": [], "status": "incomplete"}
    given = [*ASK, {**item, "content": [{"type": "reasoning_text", "text": "\nab"}]}]
    response = thinker.post(
        "/v1/responses", model=NAME, input=given, temperature=0, max_output_tokens=20, max_thinking_tokens=0
    )
    assert response.status_code == 200, response.text
    assert response.json()["usage"]["input_tokens"] == size
    assert response.json()["thinking"][0]["tokens"] == 0


def test_an_answer_that_goes_on_follows_the_closed_block(thinker: RunningServer) -> None:
    begun = {"role": "assistant", "content": "ab"}
    message = thinker.post("/v1/messages", **{**CHAT, "messages": [*ASK, begun]}, max_thinking_tokens=0)
    assert message.json()["usage"]["input_tokens"] == len(TOKENIZER.encode(f"{CLOSED}ab"))
