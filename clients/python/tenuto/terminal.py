"""Show a reply on a terminal: thinking dimmed, the answer plain, then the report on one line."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TextIO

from tenuto.replies import ChoiceFinished, ContentDelta, Event, ReasoningDelta, ThinkingReport

DIM, PLAIN = "\x1b[2m", "\x1b[0m"


@dataclass
class Terminal:
    """Writes to `stream`. Uses styles only on a terminal, and not with NO_COLOR (https://no-color.org)."""

    stream: TextIO
    environment: Mapping[str, str]
    hide_thinking: bool = False

    @property
    def styled(self) -> bool:
        plain = self.environment.get("NO_COLOR") or self.environment.get("TERM") == "dumb"
        return self.stream.isatty() and not plain

    def write(self, text: str) -> None:
        """Write the text without control characters: a model could use them to control the terminal."""
        self.stream.write("".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc"))
        self.stream.flush()

    def note(self, text: str) -> None:
        """Write a dimmed line that is not part of a reply."""
        self._style(DIM)
        self.write(text)
        self._style(PLAIN)
        self.write("\n")

    def show_reply(self, events: Iterable[Event], answer: list[str]) -> None:
        """Show the first choice of a stream as it arrives, and append the pieces of its answer to `answer`.

        The line is ended and the style reset even if the stream fails.
        """
        report: ThinkingReport | None = None
        thinking_shown = False
        try:
            for event in events:
                match event:
                    case ReasoningDelta(index=0, text=text) if not self.hide_thinking:
                        if not thinking_shown:
                            self._style(DIM)
                            thinking_shown = True
                        self.write(text)
                    case ContentDelta(index=0, text=text):
                        if thinking_shown and not answer:
                            self._style(PLAIN)
                            self.write("\n\n")
                        # Answers begin with the line break after the marker.
                        shown = text if answer else text.lstrip("\n")
                        answer.append(text)  # before it is shown: Ctrl-C may come in between
                        self.write(shown)
                    case ChoiceFinished(index=0, thinking=thinking):
                        report = thinking
        finally:
            self._style(PLAIN)
            self.write("\n")
        if report:
            self.note(report_line(report))

    def _style(self, code: str) -> None:
        if self.styled:
            self.stream.write(code)


def report_line(report: ThinkingReport) -> str:
    bounds = [
        f"at least {report.min_thinking_tokens}" if report.min_thinking_tokens else "",
        f"at most {report.max_thinking_tokens}" if report.max_thinking_tokens is not None else "",
    ]
    in_force = ", ".join(filter(None, bounds))
    tokens = f"{report.tokens} tokens" + (f" ({in_force})" if in_force else "")
    return f"[thinking: {tokens}, waits: {report.waits}, ended by: {report.ended_by}]"
