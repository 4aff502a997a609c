"""The command `tenuto chat`: its options, and which kind of chat they begin."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from tenuto.client import DEFAULT_URL, Client
from tenuto.errors import TenutoError
from tenuto.terminal_chat.conversation import (
    EFFORTS,
    ChatBudget,
    TerminalConversation,
    parse_cap,
    parse_count,
)
from tenuto.terminal_chat.json_view import JSONView
from tenuto.terminal_chat.partial_reply import PartialReply
from tenuto.terminal_chat.plain_view import PlainView
from tenuto.terminal_chat.session import COMMANDS, Session, as_argument

FAILED = 1


def command(argv: Sequence[str]) -> int:
    """Chat with a server in the terminal and see the model's thinking."""
    arguments = parser().parse_args(argv)
    budget = ChatBudget(
        arguments.max_thinking_tokens,
        arguments.min_thinking_tokens,
        arguments.num_waits,
        arguments.reasoning_effort,
    )
    with Client(arguments.url, api_key=arguments.api_key) as client:
        conversation = TerminalConversation(arguments.model, budget)
        if arguments.once is None and not arguments.json and sys.stdin.isatty() and sys.stdout.isatty():
            return _at_a_terminal(client, conversation, arguments)
        view = JSONView(sys.stdout, sys.stderr) if arguments.json else PlainView(sys.stdout, arguments.hide_thinking)
        session = Session(client, view, conversation, _report_error)
        return session.run([arguments.once] if arguments.once is not None else sys.stdin)


def _at_a_terminal(client: Client, conversation: TerminalConversation, arguments: argparse.Namespace) -> int:
    # Here, because a pipe and the client as a library need neither of the two packages.
    from rich.console import Console

    from tenuto.terminal_chat.keyboard import watching_keys
    from tenuto.terminal_chat.live_view import LiveView
    from tenuto.terminal_chat.prompt import kept_history, typed_questions

    try:
        names = ", ".join(model.id for model in client.models())
    except TenutoError as error:
        _report_error(f"{arguments.url}: {error}")
        return FAILED
    view = LiveView(Console(highlight=False), conversation, arguments.hide_thinking)

    def keys(reply: PartialReply) -> AbstractContextManager[None]:
        return watching_keys({"n": lambda: session.answer_now(reply)})

    session = Session(client, view, conversation, view.note, keys)
    view.note(f"{names} at {arguments.url}; /help lists the commands")
    session.run(typed_questions(COMMANDS, lambda: f" {conversation}", kept_history()))
    return 0


def _report_error(text: str) -> None:
    sys.stderr.write(f"tenuto chat: {text}\n")


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
    _add_budget(options.add_argument)
    options.add_argument("--hide-thinking", action="store_true", help="show only answers and reports")
    options.add_argument("--json", action="store_true", help="write each reply as one line of JSON")
    options.add_argument("--once", metavar="QUESTION", help="ask one question, print the reply and exit")
    return options


def _add_budget(add: Callable[..., Any]) -> None:
    add(
        "--max-thinking-tokens",
        type=as_argument(parse_cap),
        metavar="N",
        help='think for at most N tokens; also "auto" or "unlimited" (default: the server\'s)',
    )
    add(
        "--min-thinking-tokens",
        type=as_argument(parse_count),
        metavar="N",
        help="think for at least N tokens (default: the server's)",
    )
    add(
        "--num-waits",
        type=as_argument(parse_count),
        metavar="N",
        help='replace the first N attempts to stop thinking with "Wait" (default: the server\'s)',
    )
    add("--reasoning-effort", choices=EFFORTS, help="how much to think (default: the server's)")
