"""Shows that a long step is still running, and for how long."""

import threading
import time
from collections.abc import Callable
from itertools import cycle

from .terminal import ServerTerminal

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_SECONDS = 0.1
_LINE_SECONDS = 15.0


class LoadProgress:
    """A spinner in the last line of a TTY. Elsewhere, a line every 15 seconds.

    Attributes:
        write_line: writes such a line; None for no lines.
    """

    write_line: Callable[[str], None] | None = None

    def __init__(self, terminal: ServerTerminal, step: str) -> None:
        self._terminal, self._step = terminal, step
        self._spins = terminal.is_tty
        self._begun = self._last_line = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def enter(self, step: str) -> None:
        """Go on to the next step."""
        self._step = step

    def show_spinner(self, shown: bool) -> None:
        """Hide the spinner, or show it again on a TTY."""
        self._spins = shown and self._terminal.is_tty
        self._terminal.show_status("")

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        self._terminal.show_status("")

    def _run(self) -> None:
        frames = cycle(_FRAMES)
        while not self._ended.wait(_FRAME_SECONDS):
            text = f"{self._step} ... {self.seconds:.0f} s"
            if self._spins:
                self._terminal.show_status(f"{next(frames)} {text}")
            elif self.write_line is not None and time.monotonic() - self._last_line >= _LINE_SECONDS:
                self._last_line = time.monotonic()
                self.write_line(text)
