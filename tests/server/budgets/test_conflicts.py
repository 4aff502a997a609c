"""Sampling parameters that a budget cannot be enforced with are refused, naming both; all others are not."""

from typing import Any

import pytest
from vllm.sampling_params import SamplingParams

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.errors import InvalidBudget
from tenuto_decoding.families import FAMILIES
from tenuto_decoding.gpu.layout import MAX_SOURCES
from tenuto_decoding.markers import ThinkingMarkers
from tenuto_decoding.prompt import initial_phase
from tenuto_decoding.vllm_requests import plan_for
from tenuto_server.budgets.conflicts import check_sampling

PROMPTS = {"s1": "<|im_start|>assistant\n", "think": "<|im_start|>assistant\n<think>\n"}
DONE = {"s1": "<|im_start|>think\na<|im_start|>answer\n", "think": "<think>a</think>"}


@pytest.fixture(params=["s1", "think"])
def markers(request: pytest.FixtureRequest) -> ThinkingMarkers:
    return FAMILIES[request.param]


@pytest.fixture
def tokenizer(markers: ThinkingMarkers, chatml: Any, thinker: Any) -> Any:
    return chatml if markers.family == "s1" else thinker


def check(
    markers: ThinkingMarkers, tokenizer: Any, budget: dict[str, Any], prompt: str | None = None, **more: Any
) -> None:
    params = SamplingParams(**more)
    params.update_from_generation_config({}, tokenizer.eos_token_id)
    ids = tokenizer.encode(PROMPTS[markers.family] if prompt is None else prompt)
    plan = plan_for(params, ThinkingBudget(**budget), markers, tokenizer)
    check_sampling(params, more.get("stop_token_ids", ()), plan, initial_phase(plan, ids), tokenizer, MAX_SOURCES)


def refused(*arguments: Any, **more: Any) -> str:
    """`field: message` of the refusal."""
    with pytest.raises(InvalidBudget) as caught:
        check(*arguments, **more)
    assert str(caught.value).startswith(caught.value.field)
    return str(caught.value)


def test_a_stop_token_must_not_be_in_a_forced_text(markers: ThinkingMarkers, tokenizer: Any) -> None:
    wait, full_stop = tokenizer.encode("Wait")[0], tokenizer.encode(".")[0]
    message = refused(markers, tokenizer, {"num_waits": 1}, stop_token_ids=[wait])
    assert message.startswith(f"stop_token_ids: holds {wait}, a token of wait_text")
    capped = {"max_thinking_tokens": 9, "cap_text": "so."}
    assert "a token of cap_text" in refused(markers, tokenizer, capped, stop_token_ids=[full_stop])
    check(markers, tokenizer, {"max_thinking_tokens": 9, "cap_text": "so"}, stop_token_ids=[wait, full_stop])
    check(markers, tokenizer, capped, prompt=DONE[markers.family], stop_token_ids=[full_stop])


def test_a_stop_token_must_not_be_in_what_is_forced_around_the_thinking(chatml: Any, thinker: Any) -> None:
    budget = {"max_thinking_tokens": 9}
    newline, control, answer, start = (
        chatml.encode(text)[0] for text in ("\n", "<|im_start|>", "answer", "<|im_start|>")
    )
    assert "line break" in refused(FAMILIES["s1"], chatml, budget, stop_token_ids=[newline])
    assert "marker" in refused(FAMILIES["s1"], chatml, budget, stop_token_ids=[control])
    assert "prefix" in refused(FAMILIES["s1"], chatml, budget, stop_token_ids=chatml.encode(":"))
    assert start == control
    check(FAMILIES["s1"], chatml, budget, stop_token_ids=[answer])
    check(FAMILIES["think"], thinker, budget, stop_token_ids=thinker.encode("</think>"))


def test_a_reply_that_ends_with_its_thinking_cannot_be_longer_than_the_cap(thinker: Any) -> None:
    end = thinker.encode("</think>")
    most = 9 + 1
    message = refused(
        FAMILIES["think"], thinker, {"max_thinking_tokens": 9}, stop_token_ids=end, min_tokens=most + 1, max_tokens=99
    )
    assert message.startswith("min_tokens: 11 cannot be reached")
    assert "max_thinking_tokens" in message
    check(FAMILIES["think"], thinker, {"max_thinking_tokens": 9}, stop_token_ids=end, min_tokens=most, max_tokens=99)


def test_without_a_cap_the_end_of_thinking_must_be_allowed(markers: ThinkingMarkers, tokenizer: Any) -> None:
    letters, end = tokenizer.encode("abc"), tokenizer.encode(markers.end)
    message = refused(markers, tokenizer, {"num_waits": 1}, allowed_token_ids=letters)
    assert message.startswith("allowed_token_ids: leaves out the end of the thinking")
    assert "max_thinking_tokens" in message
    check(markers, tokenizer, {"num_waits": 1, "max_thinking_tokens": 9}, allowed_token_ids=letters)
    check(markers, tokenizer, {"num_waits": 1}, allowed_token_ids=[*letters, end[0]])
    check(markers, tokenizer, {"num_waits": 1}, allowed_token_ids=[*letters, tokenizer.eos_token_id])


def test_some_text_must_be_allowed(markers: ThinkingMarkers, tokenizer: Any) -> None:
    ends = [tokenizer.encode(markers.end)[0], tokenizer.eos_token_id]
    message = refused(markers, tokenizer, {"min_thinking_tokens": 5, "max_thinking_tokens": 9}, allowed_token_ids=ends)
    assert message.startswith("allowed_token_ids: allows only tokens that end")


def test_without_a_cap_the_end_of_thinking_must_not_be_a_bad_word(thinker: Any) -> None:
    message = refused(FAMILIES["think"], thinker, {"num_waits": 1}, bad_words=["x", "</think>"])
    assert message.startswith("bad_words: '</think>' is the end of the thinking")
    check(FAMILIES["think"], thinker, {"num_waits": 1, "max_thinking_tokens": 9}, bad_words=["</think>"])
    check(FAMILIES["think"], thinker, {"num_waits": 1}, bad_words=["Wait", "think"])


def test_more_stop_tokens_than_the_gpus_processor_has_room_for(markers: ThinkingMarkers, tokenizer: Any) -> None:
    letters = [token for token in range(100, 140) if token not in tokenizer.all_special_ids]
    assert "at most 32" in refused(markers, tokenizer, {"min_thinking_tokens": 1}, stop_token_ids=letters)
