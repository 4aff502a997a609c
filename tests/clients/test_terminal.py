"""How a reply is shown, on a terminal and elsewhere."""

import io
from collections.abc import Iterator, Mapping

import pytest

from tenuto import ChoiceFinished, ContentDelta, Event, ReasoningDelta, StreamError, ThinkingReport
from tenuto.terminal import Terminal, report_line

REPORT = ThinkingReport(5, 1, "cap", 8, None)
EVENTS: list[Event] = [
    ReasoningDelta(0, "17 + "),
    ReasoningDelta(1, "another choice"),
    ReasoningDelta(0, "25"),
    ContentDelta(0, "\n4"),
    ContentDelta(0, "2"),
    ChoiceFinished(0, "stop", REPORT),
]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, environment: Mapping[str, str] | None = None, hide_thinking: bool = False) -> str:
    Terminal(stream, environment or {}, hide_thinking).show_reply(EVENTS, [])
    return stream.getvalue()


LINE = "[thinking: 5 tokens (at most 8), waits: 1, ended by: cap]"


def test_a_terminal_shows_thinking_dimmed() -> None:
    expected = f"\x1b[2m17 + 25\x1b[0m\n\n42\x1b[0m\n\x1b[2m{LINE}\x1b[0m\n"
    assert shown(Screen()) == expected


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_styles_can_be_switched_off(environment: dict[str, str]) -> None:
    assert shown(Screen(), environment) == f"17 + 25\n\n42\n{LINE}\n"


def test_a_pipe_gets_no_styles() -> None:
    assert shown(io.StringIO()) == f"17 + 25\n\n42\n{LINE}\n"


def test_thinking_can_be_hidden() -> None:
    assert shown(io.StringIO(), hide_thinking=True) == f"42\n{LINE}\n"


def test_a_failed_stream_resets_the_style_and_ends_the_line() -> None:
    def failing() -> Iterator[Event]:
        yield ReasoningDelta(0, "Hm")
        raise StreamError("cut")

    screen = Screen()
    with pytest.raises(StreamError):
        Terminal(screen, {}).show_reply(failing(), [])
    assert screen.getvalue() == "\x1b[2mHm\x1b[0m\n"


def test_the_pieces_of_the_answer_are_collected_unchanged() -> None:
    answer: list[str] = []
    Terminal(io.StringIO(), {}).show_reply(EVENTS, answer)
    assert answer == ["\n4", "2"]


def test_control_characters_of_the_model_are_removed() -> None:
    screen = Screen()
    Terminal(screen, {}).write("a\x1b[31m\x07\x9b1mb\tc\n")
    assert screen.getvalue() == "a[31m1mb\tc\n"


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (ThinkingReport(0, 0, "none", None, None), "[thinking: 0 tokens, waits: 0, ended by: none]"),
        (ThinkingReport(0, 0, "cap", 0, 0), "[thinking: 0 tokens (at most 0), waits: 0, ended by: cap]"),
        (
            ThinkingReport(7, 2, "model", 9, 4),
            "[thinking: 7 tokens (at least 4, at most 9), waits: 2, ended by: model]",
        ),
    ],
)
def test_report_line(report: ThinkingReport, line: str) -> None:
    assert report_line(report) == line
