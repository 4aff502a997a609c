"""`tenuto chat` at a pseudo-terminal, as its user sees it."""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import EVENT_STREAM, ScriptedResponse, ScriptedServer
from tests.clients.terminal_chat.pseudo_terminal import SECONDS, TerminalUser, at_a_terminal
from tests.clients.test_client import FRAMES, STREAM, THINKING

STREAMED = ScriptedResponse(200, EVENT_STREAM, [STREAM])
MODELS = {"data": [{"id": "s1-tiny"}]}
READY = "s1-tiny at "


def frame(reasoning: str = "", content: str = "", tokens: int = 0, **choice: Any) -> bytes:
    delta = {"reasoning": reasoning, "content": content}
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": tokens,
        "total_tokens": 3 + tokens,
        "completion_tokens_details": {"reasoning_tokens": tokens},
    }
    value = {"id": "chatcmpl-7", "choices": [{"index": 0, "delta": delta, **choice}], "usage": usage}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the history of questions is kept."""
    return tmp_path / "state"


@contextmanager
def chatting(server: ScriptedServer, home: Path, *options: str, **environment: str) -> Iterator[TerminalUser]:
    server.responses.appendleft(
        ScriptedResponse(200, {"Content-Type": "application/json"}, [json.dumps(MODELS).encode()])
    )
    command = [sys.executable, "-m", "tenuto", "chat", "--url", server.url, *options]
    with at_a_terminal(command, {"XDG_STATE_HOME": str(home), **environment}) as user:
        user.wait_for(READY, "0 answered")
        yield user


def test_a_reply_is_shown_as_it_comes(scripted: ScriptedServer, home: Path) -> None:
    scripted.will_respond(STREAMED)
    with chatting(scripted, home) as user:
        user.type("17 + 25?\r")
        user.wait_for("Hm – é", "42 🙂!", "thinking: 5 tokens (at most 8), waits: 1, ended by: cap", "1 answered")
        assert user.styles("Hm") == {"default italics"}
        assert user.styles("42 ") == {"default"}  # the port in the first line may have these digits too
        position = {
            text: next(i for i, line in enumerate(user.lines) if text in line) for text in ("Hm", "42", "ended")
        }
        assert position["Hm"] < position["42"] < position["ended"]
        user.type("/quit\r")
        assert user.wait_for_exit() == 0


def test_the_bar_shows_how_much_of_the_budget_is_used(scripted: ScriptedServer, home: Path) -> None:
    pieces = [frame("Let me see.\n", tokens=4), frame("17 + 25", tokens=12)]
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, pieces, endless=True))
    with chatting(scripted, home, "--max-thinking-tokens", "64") as user:
        user.wait_for("thinking: at most 64")
        user.type("17 + 25?\r")
        user.wait_for("Let me see.", "17 + 25", "━", "12/64 tokens", "n: answer now")
        user.type("\x03")
        user.wait_for("stopped")
        assert not any("12/64" in line for line in user.lines)


def test_waits_are_marked(scripted: ScriptedServer, home: Path) -> None:
    wait = {"kind": "wait", "start": 12, "text": "Wait"}
    pieces = [frame("17 + 25 = 4\n", tokens=9), frame("Wait", tokens=10), frame(", no", tokens=12, forced=[wait])]
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, pieces, endless=True))
    with chatting(scripted, home) as user:
        user.type("17 + 25?\r")
        user.wait_for("Wait, no", "1 waits")
        assert user.styles("Wait") == {"brown italics"}  # brown: the yellow of the first terminals
        assert user.styles(", no") == {"default italics"}
        user.type("\x03")
        user.wait_for("stopped")
        assert scripted.bodies[-1]["return_forced_text"] is True


def test_a_key_makes_the_model_answer_now(scripted: ScriptedServer, home: Path) -> None:
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, [frame("Hm", tokens=1)], endless=True))
    steered = {"id": "chatcmpl-7", "choices": [{"index": 0, "applied": False, "phase": "answer", "tokens": 1}]}
    scripted.will_send_json(steered)
    with chatting(scripted, home) as user:
        user.type("17 + 25?\r")
        user.wait_for("Hm", "1 tokens")
        user.type("n")
        user.wait_for("too late: the model was no longer thinking")
        assert scripted.requests[-1][0] == "/v1/requests/chatcmpl-7/thinking"
        assert scripted.bodies[-1] == {"action": "answer_now"}
        user.type("\x03")
        user.wait_for("stopped")


def test_ctrl_c_stops_the_reply_but_not_the_program(scripted: ScriptedServer, home: Path) -> None:
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, [FRAMES], endless=True), STREAMED)
    with chatting(scripted, home) as user:
        user.type("17 + 25?\r")
        user.wait_for("42 🙂!")
        user.type("\x03")
        user.wait_for("stopped", "1 answered")
        assert scripted.disconnected.wait(SECONDS)
        user.type("Go on.\r")
        user.wait_for("2 answered")
        said = [message["content"] for message in scripted.bodies[-1]["messages"]]
        assert said == ["17 + 25?", "42 🙂!", "Go on."]
        user.type("\x04")
        assert user.wait_for_exit() == 0


def test_a_question_may_have_several_lines(scripted: ScriptedServer, home: Path) -> None:
    scripted.will_respond(STREAMED)
    with chatting(scripted, home) as user:
        user.type("first line\x1b\r")
        user.wait_for("first line")
        user.type("second line\r")
        user.wait_for("1 answered")
        assert scripted.bodies[-1]["messages"][-1]["content"] == "first line\nsecond line"


def test_questions_are_remembered_for_the_next_session(scripted: ScriptedServer, home: Path) -> None:
    scripted.will_respond(STREAMED)
    with chatting(scripted, home) as user:
        user.type("17 + 25?\r")
        user.wait_for("1 answered")
        user.type("\x04")
        assert user.wait_for_exit() == 0
    assert (home / "tenuto/chat_history").stat().st_mode & 0o077 == 0
    scripted.will_respond(STREAMED)
    with chatting(scripted, home) as user:
        user.type("\x1b[A")  # up
        user.wait_for("> 17 + 25?")
        user.type("\r")
        user.wait_for("1 answered")


def test_long_thinking_scrolls_and_is_drawn_once(scripted: ScriptedServer, home: Path) -> None:
    """Only the last line and the bar are drawn again: what is written does not grow with the square of the length."""
    words = [f"w{number} " for number in range(2000)]
    pieces = [frame(word, tokens=number) for number, word in enumerate(words, 1)]
    last = frame(content="42", tokens=2000, finish_reason="stop", thinking=THINKING)
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, [*pieces, last, b"data: [DONE]\n\n"]))
    with chatting(scripted, home) as user:
        user.type("count\r")
        user.wait_for("w1999", "42", "1 answered")
        times = Counter(re.findall(rb"w\d+", user.written))
        assert times.keys() == {word.strip().encode() for word in words}
        assert sum(times.values()) < 10 * len(words)


def test_control_characters_of_the_model_are_harmless(scripted: ScriptedServer, home: Path) -> None:
    pieces = [frame("\x1b]0;pwned\x07\x1b[2J"), frame(content="42", finish_reason="stop", thinking=THINKING)]
    scripted.will_respond(ScriptedResponse(200, EVENT_STREAM, [*pieces, b"data: [DONE]\n\n"]))
    with chatting(scripted, home) as user:
        user.type("hello\r")
        user.wait_for("]0;pwned[2J", "42", "1 answered")
        assert b"\x1b]0;pwned" not in user.written
        assert READY in user.lines[0]  # the screen was not cleared


def test_no_color_is_respected(scripted: ScriptedServer, home: Path) -> None:
    scripted.will_respond(STREAMED)
    with chatting(scripted, home, NO_COLOR="1") as user:
        user.type("17 + 25?\r")
        user.wait_for("Hm – é", "1 answered")
        assert user.styles("ended by") == {"default"}


def test_an_error_of_the_server_is_reported_before_the_first_prompt(scripted: ScriptedServer, home: Path) -> None:
    scripted.will_send_json({"error": {"message": "no key"}}, 401)
    command = [sys.executable, "-m", "tenuto", "chat", "--url", scripted.url]
    with at_a_terminal(command, {"XDG_STATE_HOME": str(home)}) as user:
        user.wait_for("no key (HTTP 401)")
        assert user.wait_for_exit() == 1
