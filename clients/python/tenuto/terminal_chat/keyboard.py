"""Reads single keys while a reply is shown."""

import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

#: How often the thread looks whether it is over, in seconds.
_POLL = 0.1


@contextmanager
def watching_keys(actions: Mapping[str, Callable[[], None]]) -> Iterator[None]:
    """Call the action of each key that is pressed while the context is open; other keys have no effect.

    Actions run in a thread, one after the other. Ctrl-C still raises KeyboardInterrupt in the main thread. Keys that
    were pressed are not left for the next prompt.
    """
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            if select.select([file], [], [], _POLL)[0]:
                for key in os.read(file, 64).decode(errors="ignore"):
                    if key in actions and not is_over.is_set():
                        actions[key]()

    tty.setcbreak(file)
    thread = threading.Thread(target=watch, name="keys", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        termios.tcsetattr(file, termios.TCSAFLUSH, before)
