"""`tenuto chat` as a process: piped, and on a pseudo-terminal."""

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

from tests.clients.conftest import EVENT_STREAM, Answer, Wire
from tests.clients.test_client import FRAMES, STREAM

CHAT = [sys.executable, "-m", "tenuto", "chat"]
REPLY = "Hm – é\n\n42 🙂!\n[thinking: 5 tokens (at most 8), waits: 1, ended by: cap]\n"
SPOKEN = Answer(200, EVENT_STREAM, [STREAM])
SECONDS = 30.0


def piped(wire: Wire, *options: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [*CHAT, "--url", wire.url, *options]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_once(wire: Wire) -> None:
    wire.will_answer(SPOKEN)
    budget = ["--max-thinking-tokens", "8", "--min-thinking-tokens", "2", "--num-waits", "1"]
    result = piped(wire, "--once", "17 + 25?", *budget, "--model", "s1-tiny", "--api-key", "secret")
    assert (result.stdout, result.stderr, result.returncode) == (REPLY, "", 0)
    assert wire.bodies[0] == {
        "messages": [{"role": "user", "content": "17 + 25?"}],
        "model": "s1-tiny",
        "max_thinking_tokens": 8,
        "min_thinking_tokens": 2,
        "num_waits": 1,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert wire.requests[0][1]["authorization"] == "Bearer secret"


def test_a_piped_conversation_has_a_memory_and_obeys(wire: Wire) -> None:
    wire.will_answer(SPOKEN, SPOKEN, SPOKEN)
    typed = "first\n\n/max 8\n/waits 2\nsecond\n/max\n/max auto\n/min 1\n/new\nthird\n/quit\nnever asked\n"
    result = piped(wire, "--hide-thinking", typed=typed)
    assert result.returncode == 0
    assert "Hm" not in result.stdout
    assert "[thinking: at most 8, waits 2]\n" in result.stdout
    first, second, third = wire.bodies
    assert "max_thinking_tokens" not in first
    assert [message["content"] for message in second["messages"]] == ["first", "42 🙂!", "second"]
    assert (second["max_thinking_tokens"], second["num_waits"]) == (8, 2)
    assert [message["content"] for message in third["messages"]] == ["third"]
    assert (third["max_thinking_tokens"], third["min_thinking_tokens"]) == ("auto", 1)


def test_commands_that_make_no_sense_are_answered(wire: Wire) -> None:
    result = piped(wire, typed="/max -3\n/what\n/help\n")
    assert "/max: '-3' is not a whole number from 0" in result.stdout
    assert "/what is not a command" in result.stdout
    assert "/waits N" in result.stdout
    assert not wire.requests


def test_options_that_make_no_sense_are_refused(wire: Wire) -> None:
    result = piped(wire, "--num-waits", "few")
    assert result.returncode == 2
    assert "argument --num-waits: 'few' is not a whole number from 0" in result.stderr


def test_a_question_without_a_reply_is_forgotten_and_costs_the_exit_status(wire: Wire) -> None:
    wire.will_send_json({"error": {"message": "too long", "param": "messages"}}, 400)
    wire.will_answer(SPOKEN)
    result = piped(wire, typed="long\nshort\n")
    assert result.returncode == 1
    assert "tenuto chat: too long (HTTP 400)" in result.stderr
    assert [message["content"] for message in wire.bodies[1]["messages"]] == ["short"]


class Person:
    """Someone at a terminal: types, and reads what the program has written so far."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process, self.master, self.screen = process, master, ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, text: str) -> None:
        self._read_until(lambda: text in self.screen)

    def wait_for_prompt(self, number: int) -> None:
        """Wait until the program asks for the so many-th line: what is typed before it reads may be lost."""
        self._read_until(lambda: self.screen.count("> ") >= number)

    def _read_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            readable, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, self.screen
            self.screen += os.read(self.master, 4096).decode()

    def wait_until_it_leaves(self) -> int:
        return self.process.wait(SECONDS)


@contextmanager
def at_a_terminal(wire: Wire, **environment: str) -> Iterator[Person]:
    master, slave = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    process = subprocess.Popen(
        [*CHAT, "--url", wire.url],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**inherited, "TERM": "xterm", **environment},
        start_new_session=True,
    )
    try:
        yield Person(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)


@pytest.fixture
def greeted(wire: Wire) -> Wire:
    """A wire that answers the program's first question, which models there are."""
    wire.will_send_json({"data": [{"id": "s1-tiny"}]})
    return wire


def test_a_terminal_sees_thinking_dimmed(greeted: Wire) -> None:
    greeted.will_answer(SPOKEN)
    with at_a_terminal(greeted) as person:
        person.wait_for("s1-tiny at ")
        person.wait_for("> ")
        person.type("17 + 25?\n")
        person.wait_for("\x1b[2mHm – é\x1b[0m\r\n\r\n42 🙂!")
        person.wait_for("ended by: cap]")
        person.type("/quit\n")
        assert person.wait_until_it_leaves() == 0


def test_no_color_is_respected(greeted: Wire) -> None:
    greeted.will_answer(SPOKEN)
    with at_a_terminal(greeted, NO_COLOR="1") as person:
        person.wait_for("> ")
        person.type("17 + 25?\n")
        person.wait_for("Hm – é\r\n\r\n42 🙂!")
        assert "\x1b[2m" not in person.screen


def test_ctrl_c_stops_the_reply_and_not_the_program(greeted: Wire) -> None:
    greeted.will_answer(Answer(200, EVENT_STREAM, [FRAMES], endless=True))
    with at_a_terminal(greeted) as person:
        person.wait_for_prompt(1)
        person.type("17 + 25?\n")
        person.wait_for("42 🙂!")
        person.process.send_signal(signal.SIGINT)
        person.wait_for("[stopped]")
        assert greeted.abandoned.wait(SECONDS)
        greeted.will_answer(SPOKEN)
        person.wait_for_prompt(2)
        person.type("Go on.\n")
        person.wait_for("ended by: cap]")
        assert [message["content"] for message in greeted.bodies[-1]["messages"]] == ["17 + 25?", "42 🙂!", "Go on."]
        person.wait_for_prompt(3)
        person.type("\x04")
        assert person.wait_until_it_leaves() == 0


def test_a_server_that_is_not_there_is_said_before_anything_is_typed(wire: Wire) -> None:
    wire.will_send_json({"error": {"message": "no key"}}, 401)
    with at_a_terminal(wire) as person:
        person.wait_for("no key (HTTP 401)")
        assert person.wait_until_it_leaves() == 1
