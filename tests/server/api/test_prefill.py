"""A prompt goes on from what the client has given of the reply, in the form in which the model writes it."""

from typing import Any

import pytest
from vllm.parser.parser_manager import ParserManager

from tenuto_decoding.families import FAMILIES
from tenuto_server.api.prefill import Prefill
from tenuto_server.errors import InvalidRequest
from tenuto_server.reasoning import parser as reasoning
from tenuto_server.reasoning.thinking_parser import with_thinking

OPEN = "<|im_start|>assistant\n"
S1, THINK = (FAMILIES[name] for name in ("s1", "think"))


def appended(
    tokenizer: Any, family: str, prompt: str, prefill: Prefill, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """What the prefill adds to the prompt's ids and to its text."""
    monkeypatch.setenv("TENUTO_THINKING_MARKERS", "")  # restored afterwards
    reasoning.use_markers(FAMILIES[family])
    parser = ParserManager.get_parser(reasoning_parser_name=reasoning.NAME, tokenizer=tokenizer)
    assert parser is not None
    ids = tokenizer.encode(prompt, add_special_tokens=False)
    engine_input: dict[str, Any] = {"prompt_token_ids": ids, "prompt": prompt}
    prefill.append_to(engine_input, tokenizer, with_thinking(parser), "input")
    assert engine_input["prompt_token_ids"][: len(ids)] == ids
    return tokenizer.decode(engine_input["prompt_token_ids"][len(ids) :]), engine_input["prompt"][len(prompt) :]


@pytest.mark.parametrize(
    ("family", "prompt", "thinking", "answer", "expected"),
    [
        ("s1", OPEN, "\nab", None, f"{S1.start}\nab"),
        ("s1", OPEN, "\nab\n", "\nc", f"{S1.start}\nab\n{S1.end}\nc"),
        ("s1", OPEN, None, "\nc", f"{S1.end}\nc"),
        ("think", OPEN, "\nab", None, "<think>\nab"),
        ("think", OPEN, "\nab\n", "", "<think>\nab\n</think>"),
        ("think", OPEN, None, "c", "c"),
        ("think", f"{OPEN}<think>\n", "ab", None, "ab"),
        ("think", f"{OPEN}<think>\n", None, "c", "</think>c"),
        ("think", f"{OPEN}<think>\n\n</think>\n\n", None, "c", "c"),
    ],
)
def test_a_reply_goes_on_from_its_beginning(
    chatml: Any,
    thinker: Any,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    prompt: str,
    thinking: str | None,
    answer: str | None,
    expected: str,
) -> None:
    tokenizer = chatml if family == "s1" else thinker
    prefill = Prefill(thinking=thinking, answer=answer)
    assert appended(tokenizer, family, prompt, prefill, monkeypatch) == (expected, expected)


def test_thinking_that_the_template_has_closed_cannot_go_on(thinker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="the prompt has closed the thinking") as wrong:
        appended(thinker, "think", f"{OPEN}<think>\n\n</think>\n\n", Prefill(thinking="a", answer=None), monkeypatch)
    assert wrong.value.param == "input"


def test_without_known_markers_only_an_answer_goes_on(chatml: Any) -> None:
    prompt: dict[str, Any] = {"prompt_token_ids": [1]}
    Prefill(thinking=None, answer="c").append_to(prompt, chatml, None, "input")
    assert prompt == {"prompt_token_ids": [1, *chatml.encode("c", add_special_tokens=False)]}
    with pytest.raises(InvalidRequest, match="markers are not known"):
        Prefill(thinking="a", answer=None).append_to(prompt, chatml, None, "input")
