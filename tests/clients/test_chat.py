"""`tenuto chat` as a process, with a pipe and with a pseudo-terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.clients.conftest import EVENT_STREAM, ScriptedResponse, ScriptedServer
from tests.clients.test_client import FRAMES, STREAM

CHAT = [sys.executable, "-m", "tenuto", "chat"]
REPLY = "Hm – é\n\n42 🙂!\n[thinking: 5 tokens (at most 8), waits: 1, ended by: cap]\n"
STREAMED = ScriptedResponse(200, EVENT_STREAM, [STREAM])
SECONDS = 30.0


def piped(scripted: ScriptedServer, *options: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [*CHAT, "--url", scripted.url, *options]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_once(scripted: ScriptedServer) -> None:
    scripted.will_respond(STREAMED)
    budget = ["--max-thinking-tokens", "8", "--min-thinking-tokens", "2", "--num-waits", "1"]
    result = piped(scripted, "--once", "17 + 25?", *budget, "--model", "s1-tiny", "--api-key", "secret")
    assert (result.stdout, result.stderr, result.returncode) == (REPLY, "", 0)
    assert scripted.bodies[0] == {
        "messages": [{"role": "user", "content": "17 + 25?"}],
        "model": "s1-tiny",
        "max_thinking_tokens": 8,
        "min_thinking_tokens": 2,
        "num_waits": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert scripted.requests[0][1]["authorization"] == "Bearer secret"


def test_piped_input_keeps_the_conversation_and_runs_commands(scripted: ScriptedServer) -> None:
    scripted.will_respond(STREAMED, STREAMED, STREAMED)
    typed = "first\n\n/max 8\n/waits 2\nsecond\n/max\n/max auto\n/min 1\n/new\nthird\n/quit\nnever asked\n"
    result = piped(scripted, "--hide-thinking", typed=typed)
    assert result.returncode == 0
    assert "Hm" not in result.stdout
    assert "[thinking: at most 8, waits 2]\n" in result.stdout
    first, second, third = scripted.bodies
    assert "max_thinking_tokens" not in first
    assert [message["content"] for message in second["messages"]] == ["first", "42 🙂!", "second"]
    assert (second["max_thinking_tokens"], second["num_waits"]) == (8, 2)
    assert [message["content"] for message in third["messages"]] == ["third"]
    assert (third["max_thinking_tokens"], third["min_thinking_tokens"]) == ("auto", 1)


def test_invalid_commands_are_reported(scripted: ScriptedServer) -> None:
    result = piped(scripted, typed="/max -3\n/what\n/help\n")
    assert "/max: '-3' is not a whole number (0 or more)" in result.stdout
    assert "/what is not a command" in result.stdout
    assert "/waits N" in result.stdout
    assert not scripted.requests


def test_invalid_options_are_rejected(scripted: ScriptedServer) -> None:
    result = piped(scripted, "--num-waits", "few")
    assert result.returncode == 2
    assert "argument --num-waits: 'few' is not a whole number (0 or more)" in result.stderr


def test_a_failed_question_is_not_kept_and_sets_the_exit_status(scripted: ScriptedServer) -> None:
    scripted.will_send_json({"error": {"message": "too long", "param": "messages"}}, 400)
    scripted.will_respond(STREAMED)
    result = piped(scripted, typed="long\nshort\n")
    assert result.returncode == 1
    assert "tenuto chat: too long (HTTP 400)" in result.stderr
    assert [message["content"] for message in scripted.bodies[1]["messages"]] == ["short"]


class TerminalUser:
    """Types into the pseudo-terminal and reads what the program writes."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process, self.master, self.screen = process, master, ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, text: str) -> None:
        self._read_until(lambda: text in self.screen)

    def wait_for_prompt(self, number: int) -> None:
        """Wait for the prompt with this number: characters typed before the program reads may be lost."""
        self._read_until(lambda: self.screen.count("> ") >= number)

    def _read_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            readable, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, self.screen
            self.screen += os.read(self.master, 4096).decode()

    def wait_for_exit(self) -> int:
        return self.process.wait(SECONDS)


@contextmanager
def at_a_terminal(scripted: ScriptedServer, **environment: str) -> Iterator[TerminalUser]:
    master, slave = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    process = subprocess.Popen(
        [*CHAT, "--url", scripted.url],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**inherited, "TERM": "xterm", **environment},
        start_new_session=True,
    )
    try:
        yield TerminalUser(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)


@pytest.fixture
def with_models(scripted: ScriptedServer) -> ScriptedServer:
    """A server that responds to the first request of the program, for the list of models."""
    scripted.will_send_json({"data": [{"id": "s1-tiny"}]})
    return scripted


def test_thinking_is_dimmed_on_a_terminal(with_models: ScriptedServer) -> None:
    with_models.will_respond(STREAMED)
    with at_a_terminal(with_models) as user:
        user.wait_for("s1-tiny at ")
        user.wait_for("> ")
        user.type("17 + 25?\n")
        user.wait_for("\x1b[2mHm – é\x1b[0m\r\n\r\n42 🙂!")
        user.wait_for("ended by: cap]")
        user.type("/quit\n")
        assert user.wait_for_exit() == 0


def test_no_color_is_respected(with_models: ScriptedServer) -> None:
    with_models.will_respond(STREAMED)
    with at_a_terminal(with_models, NO_COLOR="1") as user:
        user.wait_for("> ")
        user.type("17 + 25?\n")
        user.wait_for("Hm – é\r\n\r\n42 🙂!")
        assert "\x1b[2m" not in user.screen


def test_ctrl_c_stops_the_reply_but_not_the_program(with_models: ScriptedServer) -> None:
    with_models.will_respond(ScriptedResponse(200, EVENT_STREAM, [FRAMES], endless=True))
    with at_a_terminal(with_models) as user:
        user.wait_for_prompt(1)
        user.type("17 + 25?\n")
        user.wait_for("42 🙂!")
        user.process.send_signal(signal.SIGINT)
        user.wait_for("[stopped]")
        assert with_models.disconnected.wait(SECONDS)
        with_models.will_respond(STREAMED)
        user.wait_for_prompt(2)
        user.type("Go on.\n")
        user.wait_for("ended by: cap]")
        assert [message["content"] for message in with_models.bodies[-1]["messages"]] == [
            "17 + 25?",
            "42 🙂!",
            "Go on.",
        ]
        user.wait_for_prompt(3)
        user.type("\x04")
        assert user.wait_for_exit() == 0


def test_an_error_of_the_server_is_reported_before_the_first_prompt(scripted: ScriptedServer) -> None:
    scripted.will_send_json({"error": {"message": "no key"}}, 401)
    with at_a_terminal(scripted) as user:
        user.wait_for("no key (HTTP 401)")
        assert user.wait_for_exit() == 1
