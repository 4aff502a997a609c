"""A chat at a terminal or from a pipe: questions go to the server, lines that begin with a slash change the chat."""

import argparse
import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tenuto.client import Client
from tenuto.errors import TenutoError
from tenuto.replies import Event
from tenuto.terminal_chat.conversation import CommandError, TerminalConversation, parse_cap, parse_count, parse_effort
from tenuto.terminal_chat.partial_reply import PartialReply

#: The server counts the tokens in every chunk, for the bar.
_COUNTED = {"include_usage": True, "continuous_usage_stats": True}

HELP = """\
/max N       think for at most N tokens; also "auto" (leaves room for the answer) or "unlimited"
/min N       think for at least N tokens
/waits N     replace the first N attempts to stop thinking with "Wait"
/effort E    none, minimal, low, medium, high, xhigh or max
             (without a value, each of these returns to the server's default)
/retry       ask the last question again, with the budget of now
/now         answer at once: press n while the model thinks
/model M     ask another model; without a name, list the models
/save FILE   write the conversation to a JSON file
/new         start a new conversation
/help        show this list
/quit        leave (also Ctrl-D); Ctrl-C stops a reply"""

COMMANDS = [line.split()[0] for line in HELP.splitlines() if line.startswith("/")]


class View(Protocol):
    """Where replies and notes are shown."""

    def note(self, text: str) -> None:
        """Show a line that is not part of a reply."""

    def show(self, events: Iterable[Event], reply: PartialReply) -> None:
        """Show the events of a stream as they come, and collect them in `reply`."""


def _no_keys(_: PartialReply) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


@dataclass
class Session:
    """A conversation with a server.

    Attributes:
        report_error: called with what went wrong with a question.
        keys: opened while a reply is shown: keys then steer it.
    """

    client: Client
    view: View
    conversation: TerminalConversation
    report_error: Callable[[str], None]
    keys: Callable[[PartialReply], AbstractContextManager[None]] = field(default=_no_keys)

    def ask(self, question: str) -> bool:
        """Send the question and show the reply; return False after an error.

        The answer is kept in the conversation even if it was stopped or interrupted.
        """
        talk, reply, succeeded = self.conversation, PartialReply(), True
        fields: dict[str, Any] = {**talk.budget.fields, "stream_options": _COUNTED, "return_forced_text": True}
        stream = self.client.stream(talk.request(question), talk.model, **fields)
        try:
            with contextlib.closing(stream) as events, self.keys(reply):
                self.view.show(events, reply)
        except KeyboardInterrupt:
            self.view.note("stopped")
        except TenutoError as error:
            self.report_error(str(error))
            succeeded = False
        talk.add(question, "".join(reply.answer), "".join(reply.reasoning), reply.report_fields)
        return succeeded

    def answer_now(self, reply: PartialReply) -> None:
        """Make the model answer at once; say so if that came too late."""
        if reply.id is None:
            return
        try:
            steered = self.client.answer_now(reply.id).choices
        except TenutoError as error:
            self.view.note(str(error))
            return
        if not any(choice.applied for choice in steered):
            self.view.note("too late: the model was no longer thinking")

    def handle(self, line: str) -> bool:
        """Handle a line, a question or a command other than /quit; return False after a question that failed."""
        if not line.startswith("/"):
            return self.ask(line)
        name, _, value = line.partition(" ")
        try:
            if name == "/retry":
                return self.ask(self.conversation.take_back())
            self.view.note(self._changed(name, value.strip()))
        except (CommandError, TenutoError) as error:
            self.view.note(f"{name}: {error}")
        return True

    def _changed(self, name: str, value: str) -> str:
        """Carry out a command and return what to say about it."""
        talk = self.conversation
        match name:
            case "/max":
                return talk.set_budget(maximum=parse_cap(value))
            case "/min":
                return talk.set_budget(minimum=parse_count(value))
            case "/waits":
                return talk.set_budget(waits=parse_count(value))
            case "/effort":
                return talk.set_budget(effort=parse_effort(value))
            case "/now":
                raise CommandError("no reply is running; press n while the model thinks")
            case "/model":
                return self._model(value)
            case "/save":
                return talk.save(value)
            case "/new":
                return talk.forget()
            case "/help":
                return HELP
        raise CommandError("not a command; /help lists the commands")

    def _model(self, name: str) -> str:
        names = [model.id for model in self.client.models()]
        if not name:
            return f"models: {', '.join(names)}"
        if name not in names:
            raise CommandError(f"{name!r} is not served; there are {', '.join(names)}")
        self.conversation.model = name
        return f"model: {name}"

    def run(self, lines: Iterable[str]) -> int:
        """Handle each line until /quit or the last one; return 1 if any question failed, otherwise 0."""
        status = 0
        for line in map(str.strip, lines):
            if line == "/quit":
                break
            if line and not self.handle(line):
                status = 1
        return status


def as_argument(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return the parser of a command's value for `argparse`."""

    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except CommandError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed
