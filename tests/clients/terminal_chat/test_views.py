"""How a reply is shown in a pipe, and what of it is kept."""

import io
from collections.abc import Iterator

import pytest

from tenuto import ChoiceFinished, ContentDelta, Event, ReasoningDelta, StreamError, ThinkingReport
from tenuto.terminal_chat.partial_reply import PartialReply
from tenuto.terminal_chat.plain_view import PlainView, harmless, report_line

REPORT = ThinkingReport(5, 1, "cap", 8, None)
EVENTS: list[Event] = [
    ReasoningDelta(0, "17 + "),
    ReasoningDelta(1, "another choice"),
    ReasoningDelta(0, "25"),
    ContentDelta(0, "\n4"),
    ContentDelta(0, "2"),
    ChoiceFinished(0, "stop", REPORT),
]
LINE = "[thinking: 5 tokens (at most 8), waits: 1, ended by: cap]"


def shown(*, hide_thinking: bool = False) -> str:
    stream = io.StringIO()
    PlainView(stream, hide_thinking).show(EVENTS, PartialReply())
    return stream.getvalue()


def test_a_pipe_gets_thinking_answer_and_report() -> None:
    assert shown() == f"17 + 25\n\n42\n{LINE}\n"


def test_thinking_can_be_hidden() -> None:
    assert shown(hide_thinking=True) == f"42\n{LINE}\n"


def test_a_failed_stream_ends_the_line() -> None:
    def failing() -> Iterator[Event]:
        yield ReasoningDelta(0, "Hm")
        raise StreamError("cut")

    stream = io.StringIO()
    with pytest.raises(StreamError):
        PlainView(stream).show(failing(), PartialReply())
    assert stream.getvalue() == "Hm\n"


def test_the_pieces_of_the_reply_are_collected_unchanged() -> None:
    reply = PartialReply()
    PlainView(io.StringIO()).show(EVENTS, reply)
    assert (reply.reasoning, reply.answer, reply.report) == (["17 + ", "25"], ["\n4", "2"], REPORT)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a\x1b[31m\x07\x9b1mb\tc\n", "a[31m1mb\tc\n"),
        ("\u202egnp.exe", "gnp.exe"),
        ("a\rb\x7f", "ab"),
        ("日本 é", "日本 é"),
    ],
    ids=ascii,
)
def test_characters_that_control_the_terminal_are_removed(text: str, left: str) -> None:
    assert harmless(text) == left


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (ThinkingReport(0, 0, "none", None, None), "thinking: 0 tokens, waits: 0, ended by: none"),
        (ThinkingReport(0, 0, "cap", 0, 0), "thinking: 0 tokens (at most 0), waits: 0, ended by: cap"),
        (ThinkingReport(7, 2, "model", 9, 4), "thinking: 7 tokens (at least 4, at most 9), waits: 2, ended by: model"),
    ],
)
def test_report_line(report: ThinkingReport, line: str) -> None:
    assert report_line(report) == line
