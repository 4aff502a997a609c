"""`tenuto chat`: talk to a server from a terminal or a pipe, and change the thinking budget on the way."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Literal, TextIO

from tenuto.body import Message
from tenuto.client import DEFAULT_URL, Client
from tenuto.errors import TenutoError
from tenuto.terminal import Terminal

Cap = int | Literal["auto", "unlimited"] | None

HELP = """\
/max N      at most N thinking tokens ("auto": what leaves room for an answer; "unlimited")
/min N      at least N thinking tokens
/waits N    turn the first N attempts to stop thinking into "Wait"
            (each without N: no longer)
/new        forget the conversation
/quit       leave (also Ctrl-D); Ctrl-C stops a reply"""


@dataclass(frozen=True)
class Budget:
    """What every question of the chat asks for; None leaves it to the server."""

    maximum: Cap = None
    minimum: int | None = None
    waits: int | None = None

    def __str__(self) -> str:
        parts = {"at most": self.maximum, "at least": self.minimum, "waits": self.waits}
        asked = [f"{name} {value}" for name, value in parts.items() if value is not None]
        return f"[thinking: {', '.join(asked) or 'as the server likes'}]"


@dataclass
class Chat:
    """A conversation: the messages so far and the budget of the next one."""

    client: Client
    terminal: Terminal
    errors: TextIO
    model: str | None
    budget: Budget
    messages: list[Message] = field(default_factory=list)

    def ask(self, question: str) -> bool:
        """Show one reply; False after an error.

        What was said is remembered, also of a reply that was stopped or broke off. A question to which nothing was
        said is forgotten.
        """
        spoken: list[str] = []
        messages = [*self.messages, {"role": "user", "content": question}]
        succeeded = True
        try:
            with closing(
                self.client.stream(
                    messages,
                    self.model,
                    max_thinking_tokens=self.budget.maximum,
                    min_thinking_tokens=self.budget.minimum,
                    num_waits=self.budget.waits,
                )
            ) as events:
                self.terminal.speak(events, spoken)
        except KeyboardInterrupt:
            self.terminal.note("[stopped]")
        except TenutoError as error:
            self.errors.write(f"tenuto chat: {error}\n")
            succeeded = False
        if spoken:
            self.messages = [*messages, {"role": "assistant", "content": "".join(spoken)}]
        return succeeded

    def obey(self, line: str) -> None:
        """A line that begins with a slash, other than /quit."""
        name, _, value = line.partition(" ")
        try:
            match name:
                case "/max":
                    self.budget = replace(self.budget, maximum=cap(value))
                case "/min":
                    self.budget = replace(self.budget, minimum=count(value))
                case "/waits":
                    self.budget = replace(self.budget, waits=count(value))
                case "/new":
                    self.messages = []
                case "/help":
                    return self.terminal.note(HELP)
                case _:
                    return self.terminal.note(f"{name} is not a command; /help lists them")
        except argparse.ArgumentTypeError as error:
            return self.terminal.note(f"{name}: {error}")
        return self.terminal.note(str(self.budget))


def count(text: str) -> int | None:
    """A number from 0; None for nothing."""
    text = text.strip()
    if text and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text) if text else None


def cap(text: str) -> Cap:
    match text.strip():
        case "auto" | "unlimited" as word:
            return word
        case _:
            return count(text)


def command(argv: Sequence[str]) -> int:
    """Talk to a server, and see it think."""
    arguments = parser().parse_args(argv)
    budget = Budget(arguments.max_thinking_tokens, arguments.min_thinking_tokens, arguments.num_waits)
    terminal = Terminal(sys.stdout, os.environ, arguments.hide_thinking)
    with Client(arguments.url, api_key=arguments.api_key) as client:
        chat = Chat(client, terminal, sys.stderr, arguments.model, budget)
        if arguments.once is not None:
            return 0 if chat.ask(arguments.once) else 1
        if not sys.stdin.isatty():
            return converse(chat, sys.stdin)
        try:
            names = ", ".join(model.id for model in client.models())
        except TenutoError as error:
            sys.stderr.write(f"tenuto chat: {arguments.url}: {error}\n")
            return 1
        terminal.note(f"{names} at {arguments.url}; /help lists the commands")
        converse(chat, typed_lines())
        return 0


def converse(chat: Chat, lines: Iterator[str] | TextIO) -> int:
    """Take lines until they end or say /quit; 1 if a question got no reply."""
    status = 0
    for line in map(str.strip, lines):
        if line == "/quit":
            break
        if line.startswith("/"):
            chat.obey(line)
        elif line and not chat.ask(line):
            status = 1
    return status


def typed_lines() -> Iterator[str]:
    """Lines from the keyboard, with editing and history, until Ctrl-D. Ctrl-C empties the line."""
    import readline  # noqa: F401 - its import is what gives input() editing and history

    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:
            sys.stdout.write("\n")
        except EOFError:
            sys.stdout.write("\n")
            return


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="tenuto chat", description=command.__doc__)
    options.add_argument("--url", default=DEFAULT_URL, help="the server (default: %(default)s)")
    options.add_argument("--model", help="model name (default: the server's only one)")
    options.add_argument("--api-key", default=os.environ.get("TENUTO_API_KEY"), help="(default: $TENUTO_API_KEY)")
    options.add_argument(
        "--max-thinking-tokens", type=cap, metavar="N", help='think at most so long ("auto" or a number)'
    )
    options.add_argument("--min-thinking-tokens", type=count, metavar="N", help="think at least so long")
    options.add_argument("--num-waits", type=count, metavar="N", help='turn so many attempts to stop into "Wait"')
    options.add_argument("--hide-thinking", action="store_true", help="show answers and reports only")
    options.add_argument("--once", metavar="QUESTION", help="ask this and leave")
    return options
