"""The conversation of `tenuto chat`: its messages, and the budget of the next question. No input and no output."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tenuto.body import Message

Cap = int | Literal["auto", "unlimited"] | None

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class CommandError(Exception):
    """A command of the chat that cannot be carried out; the message says why."""


@dataclass(frozen=True)
class ChatBudget:
    """The budget of the next questions. None leaves a field to the server."""

    maximum: Cap = None
    minimum: int | None = None
    waits: int | None = None
    effort: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """As arguments of `Client.stream`."""
        return {
            "max_thinking_tokens": self.maximum,
            "min_thinking_tokens": self.minimum,
            "num_waits": self.waits,
            "reasoning_effort": self.effort,
        }

    def __str__(self) -> str:
        values = {"at most": self.maximum, "at least": self.minimum, "waits": self.waits, "effort": self.effort}
        parts = [f"{name} {value}" for name, value in values.items() if value is not None]
        return f"thinking: {', '.join(parts) or 'server defaults'}"


@dataclass
class TerminalConversation:
    """What was said, and what the next request says.

    Attributes:
        model: to ask; None for the server's only one.
        budget: of the next question.
        messages: that were answered. An answer has its thinking and its report too, for `save`.
    """

    model: str | None = None
    budget: ChatBudget = ChatBudget()
    messages: list[Message] = field(default_factory=list)

    def __str__(self) -> str:
        return " · ".join(filter(None, [self.model, str(self.budget), f"{len(self.messages) // 2} answered"]))

    def request(self, question: str) -> list[Message]:
        """Return the messages to send: what was said so far, without the thinking, and the question."""
        said = [{"role": message["role"], "content": message["content"]} for message in self.messages]
        return [*said, {"role": "user", "content": question}]

    def add(self, question: str, answer: str, reasoning: str, report: Mapping[str, Any] | None) -> None:
        """Keep an exchange. One without any answer is not kept: the model could not continue it."""
        if answer:
            thought = {"reasoning": reasoning, "thinking": report}
            self.messages += [
                {"role": "user", "content": question},
                {
                    "role": "assistant",
                    "content": answer,
                    **{name: value for name, value in thought.items() if value},
                },
            ]

    def take_back(self) -> str:
        """Remove the last exchange and return its question. Raises CommandError if there is none."""
        if not self.messages:
            raise CommandError("nothing was answered yet")
        question: str = self.messages[-2]["content"]
        self.messages = self.messages[:-2]
        return question

    def save(self, path: str) -> str:
        """Write the conversation to a JSON file that does not exist yet, and say so.

        Raises:
            CommandError: without a path, and if the file exists or cannot be written.
        """
        if not path:
            raise CommandError("give the name of a file, such as /save bill.json")
        try:
            with Path(path).expanduser().open("x") as file:
                json.dump({"model": self.model, "messages": self.messages}, file, indent=2, ensure_ascii=False)
                file.write("\n")
        except FileExistsError:
            raise CommandError(f"{path} exists already; choose another name") from None
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from error
        return f"{len(self.messages)} messages saved in {path}"

    def set_budget(self, **fields: Any) -> str:
        """Change the budget of the next questions, and say what it is."""
        self.budget = replace(self.budget, **fields)
        return str(self.budget)

    def forget(self) -> str:
        """Start a new conversation."""
        self.messages = []
        return "a new conversation"


def parse_count(text: str) -> int | None:
    """Parse a whole number; an empty text is None. Raises CommandError for anything else."""
    text = text.strip()
    if text and not (text.isascii() and text.isdecimal()):
        raise CommandError(f"{text!r} is not a whole number (0 or more)")
    return int(text) if text else None


def parse_cap(text: str) -> Cap:
    """Parse a whole number, "auto" or "unlimited"; an empty text is None. Raises CommandError for anything else."""
    match text.strip():
        case "auto" | "unlimited" as word:
            return word
        case _:
            return parse_count(text)


def parse_effort(text: str) -> str | None:
    """Parse a reasoning effort; an empty text is None. Raises CommandError for anything else."""
    text = text.strip()
    if text and text not in EFFORTS:
        raise CommandError(f"{text!r} is not one of {', '.join(EFFORTS)}")
    return text or None
