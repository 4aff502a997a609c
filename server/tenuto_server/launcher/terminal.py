"""What `tenuto serve` shows on the terminal, and the file that gets everything else.

vLLM, its processes and the libraries below them write to standard output and standard error: through logging, from C++,
as progress bars. All of that goes to the log file, because processes inherit these two descriptors. A copy of the
terminal's descriptors is kept aside, and only this module writes to it.
"""

import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import TextIO

_STDOUT, _STDERR = 1, 2


class ServerTerminal:
    """The terminal of the server, with one line at its end that shows progress if it is a TTY.

    Attributes:
        log_path: the log file, if there is one.
    """

    def __init__(self) -> None:
        self._kept = {descriptor: os.dup(descriptor) for descriptor in (_STDOUT, _STDERR)}  # not inherited
        self._out = _writer(self._kept[_STDOUT], sys.stdout)
        self._err = _writer(self._kept[_STDERR], sys.stderr)
        self._lock = threading.Lock()
        self._status = ""
        self.is_tty = self._out.isatty()
        self.log_path: Path | None = None
        self._is_chosen = False

    def capture_errors(self) -> None:
        """Send standard error to a new file in the temporary directory until the command line is known."""
        descriptor, name = tempfile.mkstemp(prefix="tenuto-", suffix=".log")
        self.log_path = Path(name)
        self._redirect(descriptor, _STDERR)

    def capture(self, chosen: str | None) -> None:
        """Send standard output and error to the log file: the present one, or one that was chosen.

        Raises:
            OSError: for a chosen file that cannot be written.
        """
        assert self.log_path is not None
        if chosen is not None:
            path = Path(chosen).absolute()
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            sys.stderr.flush()
            with self.log_path.open("rb") as source, open(os.dup(descriptor), "ab") as target:
                shutil.copyfileobj(source, target)
            self.log_path.unlink()
            self.log_path, self._is_chosen = path, True
        else:
            descriptor = os.open(self.log_path, os.O_WRONLY | os.O_APPEND)
        self._redirect(descriptor, _STDOUT, _STDERR)

    def release(self) -> None:
        """Give standard output and error back to the terminal."""
        self.show_status("")
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, kept in self._kept.items():
            os.dup2(kept, descriptor)

    def drop_log(self) -> None:
        """Remove the log file, which has nothing to show, unless it was chosen."""
        if self.log_path is not None and not self._is_chosen:
            self.log_path.unlink(missing_ok=True)
        self.log_path = None

    def write(self, text: str, *, error: bool = False) -> None:
        """Write whole lines. A terminal that has gone away is no reason to end the server."""
        with self._lock:
            try:
                self._erase_status()
                stream = self._err if error else self._out
                stream.write(f"{text}\n")
                stream.flush()
                self._draw_status()
            except OSError:
                pass

    def show_status(self, text: str) -> None:
        """Replace the last line, which shows progress; an empty text removes it. Does nothing without a TTY."""
        with self._lock:
            if self.is_tty:
                try:
                    self._erase_status()
                    self._status = text
                    self._draw_status()
                except OSError:
                    pass

    def _erase_status(self) -> None:
        if self._status:
            self._out.write("\r\x1b[2K")
            self._out.flush()

    def _draw_status(self) -> None:
        if self._status:
            width = shutil.get_terminal_size().columns
            self._out.write(self._status[: width - 1])
            self._out.flush()

    def _redirect(self, target: int, *descriptors: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor in descriptors:
            os.dup2(target, descriptor)
        os.close(target)


def _writer(descriptor: int, like: TextIO) -> TextIO:
    return open(descriptor, "w", encoding=like.encoding, errors="backslashreplace", closefd=False)
