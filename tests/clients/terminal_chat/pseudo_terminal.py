"""A pseudo-terminal whose screen is what its user would see."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyte

ROWS, COLUMNS = 24, 100
SECONDS = 30.0


class _AnsweringScreen(pyte.Screen):
    """A screen that answers what a program asks the terminal, such as where the cursor is."""

    master: int

    def write_process_input(self, data: str) -> None:
        os.write(self.master, data.encode())


class TerminalUser:
    """Types, and looks at the screen.

    Attributes:
        process: the program, which the terminal belongs to.
        written: everything that it wrote, with its control sequences.
    """

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process, self._master, self.written = process, master, b""
        self._screen = _AnsweringScreen(COLUMNS, ROWS)
        self._screen.master = master
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        """The lines on the screen, the last one that has text being the last."""
        shown = [line.rstrip() for line in self._screen.display]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    def styles(self, text: str) -> set[str]:
        """The colors and attributes of the characters of a text on the screen."""
        (row,) = [index for index, line in enumerate(self._screen.display) if text in line]
        start = self._screen.display[row].index(text)
        cells = [self._screen.buffer[row][column] for column in range(start, start + len(text))]
        return {f"{cell.fg}{' italics' if cell.italics else ''}" for cell in cells}

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, *texts: str) -> None:
        """Wait until all texts are on the screen."""
        self.wait_until(lambda: all(any(text in line for line in self.lines) for text in texts))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            readable, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, "\n".join(self.lines)
            self._read()

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError as error:  # the program has ended
            raise AssertionError("\n".join(self.lines)) from error
        self.written += data
        self._stream.feed(data)

    def wait_for_exit(self) -> int:
        """Read until the program has ended. Returns its exit status."""
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "\n".join(self.lines)
            if select.select([self._master], [], [], 0.05)[0]:
                self._read()
        return self.process.wait()


@contextmanager
def at_a_terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[TerminalUser]:
    """Run a program at a terminal of its own; at the end it is killed."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM", "COLUMNS")}
    process = subprocess.Popen(
        command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**inherited, "TERM": "xterm-256color", **environment},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    try:
        yield TerminalUser(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)
