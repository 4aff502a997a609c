"""`tenuto chat`: chat with a server from a terminal or a pipe, and change the thinking budget between questions."""

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
/max N      think for at most N tokens; also "auto" (leaves room for the answer) or "unlimited"
/min N      think for at least N tokens
/waits N    replace the first N attempts to stop thinking with "Wait"
            (without a value, each of these returns to the server's default)
/new        start a new conversation
/help       show this list
/quit       leave (also Ctrl-D); Ctrl-C stops a reply"""


@dataclass(frozen=True)
class ChatBudget:
    """The budget of the next questions. None leaves a field to the server."""

    maximum: Cap = None
    minimum: int | None = None
    waits: int | None = None

    def __str__(self) -> str:
        values = {"at most": self.maximum, "at least": self.minimum, "waits": self.waits}
        parts = [f"{name} {value}" for name, value in values.items() if value is not None]
        return f"[thinking: {', '.join(parts) or 'server defaults'}]"


@dataclass
class Chat:
    """A conversation: the messages so far and the budget of the next question."""

    client: Client
    terminal: Terminal
    errors: TextIO
    model: str | None
    budget: ChatBudget
    messages: list[Message] = field(default_factory=list)

    def ask(self, question: str) -> bool:
        """Send the question and show the reply; return False after an error.

        The answer is kept in the conversation even if it was stopped or interrupted. A question without any answer is
        not kept.
        """
        answer: list[str] = []
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
                self.terminal.show_reply(events, answer)
        except KeyboardInterrupt:
            self.terminal.note("[stopped]")
        except TenutoError as error:
            self.errors.write(f"tenuto chat: {error}\n")
            succeeded = False
        if answer:
            self.messages = [*messages, {"role": "assistant", "content": "".join(answer)}]
        return succeeded

    def run_command(self, line: str) -> None:
        """Run a line that begins with a slash, except /quit."""
        name, _, value = line.partition(" ")
        try:
            match name:
                case "/max":
                    self.budget = replace(self.budget, maximum=parse_cap(value))
                case "/min":
                    self.budget = replace(self.budget, minimum=parse_count(value))
                case "/waits":
                    self.budget = replace(self.budget, waits=parse_count(value))
                case "/new":
                    self.messages = []
                case "/help":
                    return self.terminal.note(HELP)
                case _:
                    return self.terminal.note(f"{name} is not a command; /help lists the commands")
        except argparse.ArgumentTypeError as error:
            return self.terminal.note(f"{name}: {error}")
        return self.terminal.note(str(self.budget))


def parse_count(text: str) -> int | None:
    """Parse a whole number; an empty text is None."""
    text = text.strip()
    if text and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number (0 or more)")
    return int(text) if text else None


def parse_cap(text: str) -> Cap:
    """Parse a whole number, "auto" or "unlimited"; an empty text is None."""
    match text.strip():
        case "auto" | "unlimited" as word:
            return word
        case _:
            return parse_count(text)


def command(argv: Sequence[str]) -> int:
    """Chat with a server in the terminal and see the model's thinking."""
    arguments = parser().parse_args(argv)
    budget = ChatBudget(arguments.max_thinking_tokens, arguments.min_thinking_tokens, arguments.num_waits)
    terminal = Terminal(sys.stdout, os.environ, arguments.hide_thinking)
    with Client(arguments.url, api_key=arguments.api_key) as client:
        chat = Chat(client, terminal, sys.stderr, arguments.model, budget)
        if arguments.once is not None:
            return 0 if chat.ask(arguments.once) else 1
        if not sys.stdin.isatty():
            return run_lines(chat, sys.stdin)
        try:
            names = ", ".join(model.id for model in client.models())
        except TenutoError as error:
            sys.stderr.write(f"tenuto chat: {arguments.url}: {error}\n")
            return 1
        terminal.note(f"{names} at {arguments.url}; /help lists the commands")
        run_lines(chat, typed_lines())
        return 0


def run_lines(chat: Chat, lines: Iterator[str] | TextIO) -> int:
    """Handle each line until /quit or the last one; return 1 if any question failed, otherwise 0."""
    status = 0
    for line in map(str.strip, lines):
        if line == "/quit":
            break
        if line.startswith("/"):
            chat.run_command(line)
        elif line and not chat.ask(line):
            status = 1
    return status


def typed_lines() -> Iterator[str]:
    """Yield lines from the keyboard, with editing and history, until Ctrl-D. Ctrl-C discards the current line."""
    import readline  # noqa: F401 - importing it gives input() editing and history

    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:
            sys.stdout.write("\n")
        except EOFError:
            sys.stdout.write("\n")
            return


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="tenuto chat",
        description=command.__doc__,
        epilog="In the chat, /help lists the commands that change the budget. Questions can also come from a "
        "pipe, one per line.",
    )
    options.add_argument("--url", default=DEFAULT_URL, help="URL of the server (default: %(default)s)")
    options.add_argument("--model", help="model to use (default: the only model of the server)")
    options.add_argument(
        "--api-key", default=os.environ.get("TENUTO_API_KEY"), help="API key (default: $TENUTO_API_KEY)"
    )
    options.add_argument(
        "--max-thinking-tokens",
        type=parse_cap,
        metavar="N",
        help='think for at most N tokens; also "auto" or "unlimited" (default: the server\'s)',
    )
    options.add_argument(
        "--min-thinking-tokens",
        type=parse_count,
        metavar="N",
        help="think for at least N tokens (default: the server's)",
    )
    options.add_argument(
        "--num-waits",
        type=parse_count,
        metavar="N",
        help='replace the first N attempts to stop thinking with "Wait" (default: the server\'s)',
    )
    options.add_argument("--hide-thinking", action="store_true", help="show only answers and reports")
    options.add_argument("--once", metavar="QUESTION", help="ask one question, print the reply and exit")
    return options
