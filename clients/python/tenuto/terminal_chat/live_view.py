"""Shows a reply on a terminal as it arrives: dimmed thinking, a bar for the budget, the answer."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tenuto.replies import ContentDelta, Event, ReasoningDelta, TextForced, UsageReported
from tenuto.terminal_chat.conversation import TerminalConversation
from tenuto.terminal_chat.partial_reply import PartialReply
from tenuto.terminal_chat.plain_view import harmless, report_line

THINKING, ANSWER, NOTE, FORCED = "dim italic", "", "cyan", "bold yellow"
#: The bar is drawn again this often, and so is the line that is still being written.
_PER_SECOND = 12
_BAR_WIDTH = 24


@dataclass
class LiveView:
    """Writes replies to a console. Only the last line and the bar are drawn again; what is above them scrolls away.

    Attributes:
        conversation: its cap is what the bar fills, if it is a number.
        hide_thinking: show the bar while the model thinks, and not its text.
    """

    console: Console
    conversation: TerminalConversation
    hide_thinking: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def note(self, text: str) -> None:
        """Write a line that is not part of a reply."""
        with self._lock:
            self.console.print(Text(harmless(text), style=NOTE))

    def show(self, events: Iterable[Event], reply: PartialReply) -> None:
        """Show the first choice of a stream and collect it in `reply`. What has arrived stays if the stream fails."""
        cap = self.conversation.budget.maximum
        screen = _Screen(self.console, self._lock, reply, cap if isinstance(cap, int) else None)
        with screen.open():
            for event in events:
                begins = not reply.answer
                reply.take(event)  # before it is shown: Ctrl-C may come in between
                match event:
                    case ReasoningDelta(index=0, text=text):
                        if not self.hide_thinking:
                            screen.write(text, THINKING)
                    case ContentDelta(index=0, text=text):
                        if begins:
                            screen.end_paragraph()
                        screen.write(text.lstrip("\n") if begins else text, ANSWER)
                    case TextForced(index=0, kind="wait"):
                        screen.mark_wait(event, len("".join(reply.reasoning)))
                    case UsageReported(usage=usage):
                        screen.count(usage.reasoning_tokens, usage.completion_tokens)
        if reply.report:
            self.note(report_line(reply.report))


@dataclass
class _Screen:
    """The line that is being written and the bar below it.

    Whatever is drawn holds the lock: rich moves the cursor up by what it drew last, which another thread may just draw.
    """

    console: Console
    lock: threading.RLock
    reply: PartialReply
    cap: int | None
    _line: Text = field(default_factory=Text)
    _thinking: int = 0
    _total: int = 0
    _waits: int = 0
    _started: float = field(default_factory=time.monotonic)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Draw while the context is open. At its end the bar is gone and the last line is written."""
        live = Live(console=self.console, get_renderable=self._render, auto_refresh=False, transient=True)
        is_over = threading.Event()

        def draw() -> None:
            while not is_over.wait(1 / _PER_SECOND):
                with self.lock:
                    live.refresh()

        thread = threading.Thread(target=draw, name="bar", daemon=True)
        try:
            with live:
                thread.start()
                try:
                    yield
                finally:
                    is_over.set()
                    thread.join()
        finally:
            self.end_paragraph(blank=False)

    def write(self, text: str, style: str) -> None:
        """Append to the line; lines that are complete, or as wide as the terminal, are written for good."""
        line = self._line.copy().append(harmless(text), style)
        *complete, last = line.split("\n", allow_blank=True)
        rows = last.wrap(self.console, self.console.width)
        with self.lock:
            self._line = rows[-1] if len(rows) > 1 else last
            for row in [*complete, *rows[:-1]]:
                self.console.print(row)

    def end_paragraph(self, *, blank: bool = True) -> None:
        """Write the line for good, and a blank line after it."""
        with self.lock:
            line, self._line = self._line, Text()
            if line.plain.strip():
                self.console.print(line)
                if blank:
                    self.console.print()

    def mark_wait(self, wait: TextForced, length: int) -> None:
        """Count a wait, and mark it in the line if it is still there; `length` is that of the thinking so far."""
        self._waits += 1
        text = wait.text.lstrip()
        line = self._line.copy()
        start = wait.start + len(wait.text) - len(text) - (length - len(line.plain))
        if text and start >= 0 and line.plain.startswith(text, start):
            line.stylize(FORCED, start, start + len(text))
            self._line = line

    def count(self, thinking: int | None, total: int) -> None:
        """Take the token counts of the server."""
        self._thinking, self._total = thinking or 0, total

    def _render(self) -> RenderableType:
        line = self._line
        return Group(*([line] if line.plain else []), self._bar())

    def _bar(self) -> RenderableType:
        seconds = f"{time.monotonic() - self._started:.1f} s"
        if self.reply.answer:
            return Text(f"answering · {self._total - self._thinking} tokens · {seconds} · Ctrl-C: stop", NOTE)
        waits = f" · {self._waits} waits" if self._waits else ""
        hints = f"{seconds}{waits} · n: answer now · Ctrl-C: stop"
        if not self.cap:
            return Text(f"thinking · {self._thinking} tokens · {hints}", NOTE)
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=self.cap, completed=min(self._thinking, self.cap), width=_BAR_WIDTH)
        row.add_row(Text("thinking", NOTE), bar, Text(f"{self._thinking}/{self.cap} tokens · {hints}", NOTE))
        return row
