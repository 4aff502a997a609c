"""What a report says of a reply, given its tokens and where redirects fired."""

import asyncio
from typing import Any

import pytest

from tenuto_decoding.budget import ThinkingBudget
from tenuto_server.engine.accounting import CountedChoice, CountedReply, collect_replies, hand_over
from tests.server.resolved import resolved

PROMPT = "<|im_start|>assistant\n"


def choice(tokenizer: Any, **budget: Any) -> CountedChoice:
    given = ThinkingBudget(**budget) if budget else None
    return CountedChoice(resolved(tokenizer, given, tokenizer.encode(PROMPT)))


def ids(tokenizer: Any, text: str) -> list[int]:
    encoded: list[int] = tokenizer.encode(text)
    return encoded


@pytest.mark.parametrize(
    ("text", "tokens", "ended_by"),
    [
        ("abc<|im_end|>", 0, "none"),
        ("<|im_start|>think\nabc\n<|im_start|>answer\nx<|im_end|>", 5, "model"),
        ("<|im_start|>think\nabc", 4, "length"),
        ("<|im_start|>think\nabc<|im_end|>", 4, "stop_token"),
        ("<|im_start|>think\nabc<|im_start|><|im_end|>", 5, "stop_token"),
    ],
)
def test_a_reply_without_a_budget_is_counted_and_needs_no_report_of_the_workers(
    chatml: Any, text: str, tokens: int, ended_by: str
) -> None:
    counted = choice(chatml)
    counted.take(ids(chatml, text))
    assert not counted.needs_redirects
    assert counted.report.to_dict() == {
        "tokens": tokens,
        "waits": 0,
        "ended_by": ended_by,
        "max_thinking_tokens": None,
        "min_thinking_tokens": 0,
        "set_by": {},
    }


def test_pieces_count_as_the_whole(chatml: Any) -> None:
    text = ids(chatml, "<|im_start|>think\nabc\n<|im_start|>answer\nx<|im_end|>")
    whole, pieces = choice(chatml), choice(chatml)
    whole.take(text)
    for token in text:
        pieces.take([token])
    assert pieces.report == whole.report
    assert pieces.ids == text


def test_a_wait_counts_as_one_only_where_a_redirect_fired(chatml: Any) -> None:
    """Two waits requested: the model writes "Wait" itself, and then is made to write it."""
    text = ids(chatml, "<|im_start|>think\naWaitbWait")
    first, second = (index for index, token in enumerate(text) if token == chatml.encode("Wait")[0])
    for fired, waits in (([second], 1), ([first, second], 2), ([], 0)):
        waiting = choice(chatml, num_waits=2)
        waiting.take(text)
        assert waiting.needs_redirects
        waiting.settle(fired)
        assert waiting.report.waits == waits
        assert waiting.report.tokens == 5


def test_a_stop_that_became_an_end_marker_differs_from_the_models_own_end(chatml: Any) -> None:
    text = ids(chatml, "<|im_start|>think\na<|im_start|>answer\nx<|im_end|>")
    marker = text.index(chatml.encode("<|im_start|>")[0], 1)
    for fired, ended_by in (([marker], "stop_token"), ([], "model")):
        ended = choice(chatml, max_thinking_tokens=50)
        ended.take(text)
        assert ended.needs_redirects
        ended.settle(fired)
        assert ended.report.ended_by == ended_by


def test_a_cap_that_was_reached_needs_no_report_of_the_workers(chatml: Any) -> None:
    capped = choice(chatml, max_thinking_tokens=2)
    capped.take(ids(chatml, "<|im_start|>thinkab\n<|im_start|>answer\nFinal Answer:x<|im_end|>"))
    assert not capped.needs_redirects
    assert capped.report.ended_by == "cap"
    assert capped.report.tokens == 2


def test_a_floor_that_was_passed_without_an_attempt_to_end_needs_no_report_of_the_workers(chatml: Any) -> None:
    passed = choice(chatml, min_thinking_tokens=2, num_waits=1)
    passed.take(ids(chatml, "<|im_start|>thinkabc"))
    assert not passed.needs_redirects
    assert passed.report.waits == 0


async def test_replies_reach_the_context_that_collects_them_and_no_other(chatml: Any) -> None:
    def account() -> CountedReply:
        reply = CountedReply(resolved(chatml), ids(chatml, PROMPT), n=2)
        hand_over(reply)
        return reply

    async def handle() -> bool:
        replies: list[CountedReply] = []
        with collect_replies(replies):
            await asyncio.sleep(0)
            return replies == [account()]

    account()  # not collected
    assert all(await asyncio.gather(*(handle() for _ in range(5))))
