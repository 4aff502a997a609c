"""Shows a reply as text that a pipe can take: thinking, answer, and the report on one line."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from tenuto.replies import ContentDelta, Event, ReasoningDelta, ThinkingReport
from tenuto.terminal_chat.partial_reply import PartialReply


def harmless(text: str) -> str:
    """Return the text without control characters, with which a model could control the terminal.

    Line ends and tabs stay. Characters that reorder text or hide it go too (bidirectional overrides and isolates).
    """
    return "".join(c for c in text if c in "\n\t" or not _is_control(c))


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc" or character in _BIDIRECTIONAL


_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass
class PlainView:
    """Writes replies to `stream` as they arrive, without any style."""

    stream: TextIO
    hide_thinking: bool = False

    def write(self, text: str) -> None:
        self.stream.write(harmless(text))
        self.stream.flush()

    def note(self, text: str) -> None:
        """Write a line that is not part of a reply."""
        self.write(f"[{text}]\n")

    def show(self, events: Iterable[Event], reply: PartialReply) -> None:
        """Show the first choice of a stream and collect it in `reply`. The line is ended even if the stream fails."""
        try:
            for event in events:
                begins = not reply.answer
                reply.take(event)  # before it is shown: Ctrl-C may come in between
                match event:
                    case ReasoningDelta(index=0, text=text) if not self.hide_thinking:
                        self.write(text)
                    case ContentDelta(index=0, text=text):
                        if begins and reply.reasoning and not self.hide_thinking:
                            self.write("\n\n")
                        # Answers begin with the line break after the marker.
                        self.write(text.lstrip("\n") if begins else text)
        finally:
            self.write("\n")
        if reply.report:
            self.note(report_line(reply.report))


def report_line(report: ThinkingReport) -> str:
    bounds = [
        f"at least {report.min_thinking_tokens}" if report.min_thinking_tokens else "",
        f"at most {report.max_thinking_tokens}" if report.max_thinking_tokens is not None else "",
    ]
    in_force = ", ".join(filter(None, bounds))
    tokens = f"{report.tokens} tokens" + (f" ({in_force})" if in_force else "")
    return f"thinking: {tokens}, waits: {report.waits}, ended by: {report.ended_by}"
