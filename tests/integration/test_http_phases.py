"""The phase in which a reply starts follows from the end of its prompt alone, whatever texts the prompt contains."""

from collections.abc import Sequence
from typing import Any

import pytest

from tenuto_testing.byte_tokenizer import make_tokenizer
from tenuto_testing.reply_counter import ReplyCounter
from tenuto_testing.servers import MODEL, RunningServer
from tenuto_testing.thinker_model import MARKERS, NAME, TEMPLATE

COUNTER = ReplyCounter()
S1 = ("<|im_start|>think", "<|im_start|>answer", "<|im_start|>think\nx<|im_start|>answer\n", "<|im_end|>")
THINK = ("<think>", "</think>", "<think>\n\n</think>\n\n", "<think>x", "<|im_end|>\n<|im_start|>assistant\n<think>\n")

Messages = list[dict[str, str]]


def prompts(text: str) -> Sequence[Messages]:
    """Chats that hold the text somewhere else than at their end."""
    ask = {"role": "user", "content": "Add up this bill: soup 9, fish 4"}
    return (
        [{"role": "user", "content": text}],
        [{"role": "user", "content": f"What does {text} mean?"}],
        [{"role": "system", "content": f"Never write {text}"}, ask],
        [ask, {"role": "assistant", "content": f"{text}13"}, ask],
        [ask, {"role": "assistant", "content": "13", "reasoning": text, "reasoning_content": text}, ask],
    )


def tokenizer() -> Any:
    return make_tokenizer(TEMPLATE, MARKERS)


def thinks(server: RunningServer, model: str, start: list[int], messages: Messages) -> None:
    """A floor and a cap are kept from the first token of the reply on: so its phase was seen to be neither."""
    response = server.chat(
        model=model,
        messages=messages,
        min_thinking_tokens=5,
        max_thinking_tokens=9,
        cap_text="",
        max_tokens=40,
        return_token_ids=True,
    )
    assert response.status_code == 200, response.text
    (choice,) = response.json()["choices"]
    assert choice["token_ids"][: len(start)] == start, messages
    assert 5 <= choice["thinking"]["tokens"] <= 9


@pytest.mark.parametrize("text", S1)
def test_markers_of_s1_in_a_prompt_are_text(server: RunningServer, text: str) -> None:
    """The tokenizer reads `<|im_start|>` as the control token wherever it appears."""
    assert COUNTER.encode(S1[1])[0] == COUNTER.encode("<|im_start|>assistant")[0]
    for messages in prompts(text):
        thinks(server, MODEL, COUNTER.start, messages)


@pytest.mark.parametrize("text", THINK)
def test_markers_of_the_think_family_in_a_prompt_are_text(thinker: RunningServer, text: str) -> None:
    start = tokenizer().encode("<think>")
    assert len(start) == 1
    for messages in prompts(text):
        thinks(thinker, NAME, start, messages)


def test_thinking_that_a_continued_message_has_opened_goes_on(thinker: RunningServer) -> None:
    """What it holds is not counted, and an end marker that was only talked of before does not close it."""
    end, newline = (tokenizer().encode(text)[0] for text in ("</think>", "\n"))
    for begun in ("<think>", "<think>\nab", "x</think>y<think>ab"):
        messages = [{"role": "user", "content": "</think>"}, {"role": "assistant", "content": begun}]
        response = thinker.chat(
            model=NAME,
            messages=messages,
            add_generation_prompt=False,
            continue_final_message=True,
            max_thinking_tokens=6,
            min_thinking_tokens=6,
            cap_text="",
            max_tokens=30,
            temperature=0,
            return_token_ids=True,
        )
        (choice,) = response.json()["choices"]
        written = choice["token_ids"][: choice["token_ids"].index(end)]
        assert choice["thinking"]["tokens"] == 6 == len(written) - (written[6:] == [newline])
        assert choice["thinking"]["ended_by"] == "cap"
        assert len(choice["message"]["reasoning"]) >= 6


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ({"role": "assistant", "content": "<think>a</think>b"}, {}),
        ({"role": "assistant", "content": "b", "reasoning_content": "a"}, {}),
        (None, {"enable_thinking": False}),
    ],
    ids=["continued text", "continued reasoning", "switched off"],
)
def test_thinking_that_the_prompt_has_closed_stays_closed(
    thinker: RunningServer, message: dict[str, str] | None, template: dict[str, bool]
) -> None:
    """Any cap is kept, by no thinking at all; a floor or waits are an error that says why."""
    request: dict[str, Any] = {
        "model": NAME,
        "messages": [{"role": "user", "content": "x"}] + ([message] if message else []),
        "chat_template_kwargs": template,
        "max_tokens": 40,
        "return_token_ids": True,
        "logit_bias": {str(tokenizer().encode("<think>")[0]): -100},  # the model itself might open it again
    }
    if message:
        request |= {"add_generation_prompt": False, "continue_final_message": True}
    for cap in (0, 5):
        (choice,) = thinker.chat(**request, max_thinking_tokens=cap).json()["choices"]
        assert (choice["thinking"]["tokens"], choice["thinking"]["ended_by"]) == (0, "none")
        assert not choice["message"]["reasoning"]
    for field in ("min_thinking_tokens", "num_waits"):
        error = thinker.chat(**request, **{field: 3}).json()["error"]
        assert (error["code"], error["param"]) == (400, field)
        assert ("turns off" if template else "closed") in error["message"]
        assert "enable_thinking" in error["message"]


def test_a_cap_of_zero_closes_what_the_template_opens_and_opens_nothing(thinker: RunningServer) -> None:
    start, rest = tokenizer().encode("<think>")[0], tokenizer().encode("\n</think>\n\n")
    request = {
        "model": NAME,
        "messages": [{"role": "user", "content": "x"}],
        "max_thinking_tokens": 0,
        "max_tokens": 40,
        "n": 4,
        "logit_bias": {str(start): 100},
        "return_token_ids": True,
    }
    for template, first in ({"open_thinking": True}, rest), ({}, []):
        for choice in thinker.chat(**request, chat_template_kwargs=template).json()["choices"]:
            assert choice["token_ids"][: len(first)] == first
            assert start not in choice["token_ids"]
            assert choice["thinking"]["tokens"] == 0
