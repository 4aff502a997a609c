"""How a reply looks on a terminal: thinking dimmed, the answer plain, then one line with the report."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TextIO

from tenuto.replies import ChoiceFinished, ContentDelta, Event, ReasoningDelta, ThinkingReport

DIM, PLAIN = "\x1b[2m", "\x1b[0m"


@dataclass
class Terminal:
    """Writes to `stream`. Styles are only used where it is a terminal that wants them (https://no-color.org)."""

    stream: TextIO
    environment: Mapping[str, str]
    hide_thinking: bool = False

    @property
    def styled(self) -> bool:
        unwanted = self.environment.get("NO_COLOR") or self.environment.get("TERM") == "dumb"
        return self.stream.isatty() and not unwanted

    def write(self, text: str) -> None:
        """The text, without the control characters that could drive a terminal: a model may write anything."""
        self.stream.write("".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc"))
        self.stream.flush()

    def note(self, text: str) -> None:
        """A line of ours, dimmed."""
        self._style(DIM)
        self.write(text)
        self._style(PLAIN)
        self.write("\n")

    def speak(self, events: Iterable[Event], spoken: list[str]) -> None:
        """Show the first choice of a stream as it arrives; the pieces of the answer are added to `spoken`.

        However the stream ends, the line is ended and the style is plain again.
        """
        report: ThinkingReport | None = None
        thought = False
        try:
            for event in events:
                match event:
                    case ReasoningDelta(index=0, text=text) if not self.hide_thinking:
                        if not thought:
                            self._style(DIM)
                            thought = True
                        self.write(text)
                    case ContentDelta(index=0, text=text):
                        if thought and not spoken:
                            self._style(PLAIN)
                            self.write("\n\n")
                        # Answers begin with the line break that ends their marker.
                        self.write(text if spoken else text.lstrip("\n"))
                        spoken.append(text)
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
    asked = ", ".join(filter(None, bounds))
    tokens = f"{report.tokens} tokens" + (f" ({asked})" if asked else "")
    return f"[thinking: {tokens}, waits: {report.waits}, ended by: {report.ended_by}]"
