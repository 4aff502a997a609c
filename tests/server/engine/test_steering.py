"""Steering on the server's side: which report belongs to which choice, the results, and what can be steered."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from vllm.sampling_params import SamplingParams

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.errors import InvalidBudget
from tenuto_decoding.worker_messages import MAX_STEERS, SequenceReport, Steer
from tenuto_server.budgets.resolution import AnswerRoom, Generation
from tenuto_server.engine import steering
from tenuto_server.engine.accounting import CountedReply
from tenuto_server.engine.registry import RunningReplies, RunningReply, response_of
from tenuto_server.engine.steering import SteeringResult, assign, report_of, steer
from tenuto_server.errors import NotRunning, SteeringError
from tests.server.resolved import resolved

PROMPT = "<|im_start|>assistant\n"
FIRST, SECOND = SequenceReport([1, 2, 3, 4], [1], []), SequenceReport([1, 2, 9, 4], [0], [])


@pytest.mark.parametrize(
    ("reports", "own"),
    [
        ([FIRST], FIRST),
        ([FIRST._replace(ids=[1, 2, 3])], FIRST._replace(ids=[1, 2, 3])),  # a step behind the reply
        ([FIRST._replace(ids=[1, 2, 3, 4, 9])], FIRST._replace(ids=[1, 2, 3, 4, 9])),  # sampled further than was kept
        ([SECOND, FIRST], FIRST),  # a parallel sample: the other one differs
        ([SequenceReport([], [], []), FIRST], FIRST),  # a parallel sample: the other one has hardly begun
        ([SECOND], None),
        ([], None),
    ],
)
def test_a_choice_finds_its_report_by_its_ids(reports: list[SequenceReport], own: SequenceReport | None) -> None:
    assert report_of([1, 2, 3, 4], reports) == own


def running(
    tokenizer: Any,
    reply_id: str = "chatcmpl-1",
    n: int = 1,
    first: int = 0,
    longest: int = 100,
    key: str = "key",
    **budget: Any,
) -> RunningReply:
    prompt = tokenizer.encode(PROMPT)
    generation = Generation(prompt, SamplingParams(max_tokens=longest + 1))
    budgeted = resolved(tokenizer, ThinkingBudget(**budget) if budget else None, prompt)
    budgeted = replace(budgeted, floor_limit=AnswerRoom(generation, marker_tokens=0, reserve=None))
    return RunningReply(reply_id, first, key, CountedReply(budgeted, prompt, n))


def test_every_choice_has_a_report_of_its_own(chatml: Any) -> None:
    choices = running(chatml, n=3, num_waits=1).reply.choices
    choices[1].take([1, 2])
    choices[2].take([1, 2, 3])
    reports = [SequenceReport([1, 2, 3, 4], [], []), SequenceReport([1, 2, 4], [], []), SequenceReport([5], [], [])]
    assert [report for _, report in assign(choices, reports)] == [reports[2], reports[1], reports[0]]


def test_choices_with_equal_ids_take_their_reports_in_the_order_of_their_arrival(chatml: Any) -> None:
    """One of them was steered a token later, and both closed with the same tokens all the same."""
    choices = running(chatml, n=3, num_waits=1).reply.choices
    for choice in choices:
        choice.take([1, 2, 3])
    reports = [SequenceReport([1, 2, 3], [], [Steer(1, position, None)]) for position in (3, 2, 2)]
    assert [report for _, report in assign(choices, reports)] == reports
    assert [report is own for (_, report), own in zip(assign(choices, reports), reports, strict=True)] == [True] * 3


class Workers:
    """One engine's workers, which report the steering requests they get at the positions where these take effect."""

    def __init__(self, *sequences: list[int], positions: tuple[int | None, ...]) -> None:
        self.reports = [SequenceReport(ids, [], []) for ids in sequences]
        self.positions = positions

    async def call(self, method: str, *arguments: Any) -> list[Any]:
        if method == "thinking_reports":
            return [[[tuple(report) for report in self.reports]]]
        _, number, until = arguments
        for report, position in zip(self.reports, self.positions, strict=True):
            if all(steer.number != number for steer in report.steers):
                report.steers.append(Steer(number, position, until))
        return [len(self.reports)]


def ids(tokenizer: Any, text: str) -> list[int]:
    encoded: list[int] = tokenizer.encode(text)
    return encoded


async def test_answer_now_reports_where_it_took_effect(chatml: Any) -> None:
    thinking = ids(chatml, "<|im_start|>thinkabc")
    reply = running(chatml, max_thinking_tokens=50)
    (choice,) = reply.reply.choices
    choice.take(thinking[:-1])
    workers = Workers(thinking, positions=(len(thinking),))
    assert await steer([reply], None, workers.call) == [SteeringResult(0, True, "thinking", 3)]
    choice.take([*thinking[-1:], *ids(chatml, "\n<|im_start|>answer\nFinal Answer:x<|im_end|>")])
    assert choice.report.to_dict() == {
        "tokens": 3,
        "waits": 0,
        "ended_by": "cap",
        "max_thinking_tokens": 3,
        "min_thinking_tokens": 0,
        "set_by": {"max_thinking_tokens": "steering"},
        "steered": 1,
    }


async def test_thinking_that_was_extended_is_reported_with_the_bounds_in_force(chatml: Any) -> None:
    thinking = ids(chatml, "<|im_start|>thinkabc")
    reply = running(chatml, max_thinking_tokens=5)
    (choice,) = reply.reply.choices
    choice.take(thinking)
    workers = Workers(thinking, positions=(len(thinking),))
    assert await steer([reply], 9, workers.call) == [SteeringResult(0, True, "thinking", 3)]
    choice.take(ids(chatml, "abcdef\n<|im_start|>answer"))
    report = choice.report
    assert (report.max_thinking_tokens, report.min_thinking_tokens, report.tokens, report.ended_by) == (9, 9, 9, "cap")
    with pytest.raises(InvalidBudget, match="101 thinking tokens"):
        await steer([reply], 101, workers.call)


@pytest.mark.parametrize("whole_reply", [False, True])
async def test_steering_that_takes_effect_while_the_workers_are_asked_is_reported(
    chatml: Any, whole_reply: bool
) -> None:
    """Their report from before the choice ended is out of date: they are asked again."""
    thinking = ids(chatml, "<|im_start|>thinkabc")
    rest = ids(chatml, "\n<|im_start|>answer\nFinal Answer:x<|im_end|>")
    reply = running(chatml, max_thinking_tokens=50)
    (choice,) = reply.reply.choices
    choice.take(thinking)
    workers = Workers([*thinking], positions=(None,))

    async def ends_meanwhile(method: str, *arguments: Any) -> list[Any]:
        said = deepcopy(await workers.call(method, *arguments))
        if method == "thinking_reports" and not choice.is_finished:
            choice.take(rest)
            choice.is_finished, reply.is_over = True, whole_reply
            (report,) = workers.reports
            report.ids.extend(rest)
            report.steers[0] = report.steers[0]._replace(position=len(thinking))
        return said

    assert await steer([reply], None, ends_meanwhile) == [SteeringResult(0, True, "thinking", 3)]


@pytest.mark.parametrize(
    ("text", "phase", "tokens"),
    [
        ("<|im_start|>thinkabc\n<|im_start|>", "closing", 4),
        ("<|im_start|>thinkabc\n<|im_start|>answer", "answer", 4),
    ],
)
async def test_what_has_ended_is_unchanged_and_reported(chatml: Any, text: str, phase: str, tokens: int) -> None:
    reply = running(chatml, num_waits=0, max_thinking_tokens=50)
    reply.reply.choices[0].take(ids(chatml, text))
    workers = Workers(ids(chatml, text), positions=(len(ids(chatml, text)),))
    assert await steer([reply], None, workers.call) == [SteeringResult(0, False, phase, tokens)]
    assert "steered" not in reply.reply.choices[0].report.to_dict()


async def test_waiting_and_finished_choices_are_reported_as_such(chatml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "_TIMEOUT", 0.01)
    reply = running(chatml, "cmpl-x", n=3, first=6, max_thinking_tokens=50)
    finished, thinking, _ = reply.reply.choices
    whole = ids(chatml, "<|im_start|>thinkab\n<|im_start|>answer<|im_end|>")
    finished.take(whole)
    finished.is_finished = True
    thinking.take(whole[:3])
    workers = Workers(whole[:4], positions=(4,))
    workers.reports.append(SequenceReport(whole, [], []))
    workers.positions = (4, len(whole))
    assert await steer([reply], None, workers.call) == [
        SteeringResult(6, False, "finished", 3),
        SteeringResult(7, True, "thinking", 2),
        SteeringResult(8, False, "waiting", 0),
    ]


async def test_a_reply_can_be_steered_only_so_often_and_only_with_a_budget(chatml: Any) -> None:
    workers = Workers([], positions=(0,))
    often = running(chatml, min_thinking_tokens=0)
    for _ in range(MAX_STEERS):
        await steer([often], 5, workers.call)
    with pytest.raises(SteeringError, match="steered 16 times"):
        await steer([often], 5, workers.call)
    with pytest.raises(SteeringError, match="without a thinking budget"):
        await steer([running(chatml)], 5, workers.call)


async def test_steering_is_for_all_parts_of_a_response_or_for_none(chatml: Any) -> None:
    """One part has no room for the floor, or was steered too often: the others are not steered after the error."""
    workers = Workers([], positions=(0,))
    roomy, narrow = (running(chatml, "cmpl-a", longest=longest, min_thinking_tokens=0) for longest in (100, 50))
    with pytest.raises(InvalidBudget, match="60 thinking tokens"):
        await steer([roomy, narrow], 60, workers.call)
    for _ in range(MAX_STEERS):
        await steer([narrow], 5, workers.call)
    steered = [len(report.steers) for report in workers.reports]
    with pytest.raises(SteeringError, match="steered 16 times"):
        await steer([roomy, narrow], 5, workers.call)
    assert [len(report.steers) for report in workers.reports] == steered
    assert roomy.steers == 0
    assert [outcome.index for outcome in await steer([roomy], 5, workers.call)] == [0]


async def test_the_choices_of_all_parts_are_reported_in_order(chatml: Any) -> None:
    parts = [running(chatml, "cmpl-a", n=2, first=first, min_thinking_tokens=0) for first in (2, 0)]
    workers = Workers([], [], positions=(0, 0))
    assert [outcome.index for outcome in await steer(parts, None, workers.call)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("engine_id", "path", "response"),
    [
        ("cmpl-bill_7-0", "/v1/completions", ("cmpl-bill_7", 0)),
        ("cmpl-bill-7-3", "/v1/completions", ("cmpl-bill-7", 6)),
        ("chatcmpl-bill_7", "/v1/chat/completions", ("chatcmpl-bill_7", 0)),
        ("chatcmpl-bill-7", "/v1/messages", ("msg_bill-7", 0)),
        ("chatcmpl-bill_7_3", "/v1/chat/completions/batch", ("chatcmpl-bill_7", 6)),
        ("resp_bill_7_3", "/v1/responses", ("resp_bill_7", 0)),  # turns: their choices are not shown
        ("bill_7", "", ("bill_7", 0)),
    ],
)
def test_only_what_vllm_has_added_is_removed_from_an_id(engine_id: str, path: str, response: tuple[str, int]) -> None:
    """A client's own id may end in a number, as if it were a part."""
    assert response_of(engine_id, path, n=2) == response


def test_replies_are_found_by_the_id_of_their_response_while_they_run(chatml: Any) -> None:
    replies = RunningReplies(lambda key: None)
    chat, *prompts = [
        running(chatml, name, key=str(key)) for key, name in enumerate(("chatcmpl-bill_7", "cmpl-a", "cmpl-a"))
    ]
    contexts = [replies.registered(each) for each in (chat, *prompts)]
    for context in contexts:
        context.__enter__()
    assert replies.find("chatcmpl-bill_7") == [chat]
    assert replies.find("cmpl-a") == prompts
    for name in ("chatcmpl-bill", "cmpl-a-0"):  # another reply's, or none's
        with pytest.raises(NotRunning, match=name):
            replies.find(name)
    for context in contexts:
        context.__exit__(None, None, None)
    assert not len(replies)
    for name in ("chatcmpl-bill_7", "cmpl-a", "never"):
        with pytest.raises(NotRunning, match=name):
            replies.find(name)


def test_two_replies_of_one_id_end_one_by_one(chatml: Any) -> None:
    replies, twins = RunningReplies(lambda key: None), [running(chatml, key="a"), running(chatml, key="b")]
    with replies.registered(twins[0]):
        with replies.registered(twins[1]):
            assert replies.find("chatcmpl-1") == twins
        assert replies.find("chatcmpl-1") == twins[:1]


def test_replies_may_end_while_all_are_read(chatml: Any) -> None:
    """A scrape reads them in a thread of its own: /metrics answered with 500 when many clients left at once."""
    replies = RunningReplies(lambda key: None)
    contexts = [replies.registered(running(chatml, key=key)) for key in "abc"]
    for context in contexts:
        context.__enter__()
    reading = iter(replies)
    next(reading)
    for context in contexts:
        context.__exit__(None, None, None)
    assert [reply.key for reply in reading] == ["b", "c"]


def test_however_a_reply_ends_the_workers_may_forget_it(chatml: Any) -> None:
    """Only those with a budget: they do not follow others."""
    over: list[str] = []
    replies = RunningReplies(over.append)
    with replies.registered(running(chatml, min_thinking_tokens=0)):
        assert over == []
    assert over == ["key"]
    with pytest.raises(GeneratorExit), replies.registered(running(chatml, min_thinking_tokens=0)):
        raise GeneratorExit  # its client has disconnected
    assert over == ["key", "key"]
    with replies.registered(running(chatml)):
        pass
    assert over == ["key", "key"]
