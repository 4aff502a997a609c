"""Reads questions from a terminal: several lines, with history and completion of commands."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent


def typed_questions(commands: list[str], status: Callable[[], str], history: History) -> Iterator[str]:
    """Yield questions and commands until Ctrl-D. Ctrl-C discards what was typed.

    Enter sends; Alt-Enter or Ctrl-J begins another line, and so does a pasted line end.

    Args:
        status: the line below the prompt.
    """
    session = PromptSession[str](
        history=history,
        completer=WordCompleter(commands, sentence=True),
        complete_while_typing=True,
        multiline=True,
        key_bindings=_key_bindings(),
        bottom_toolbar=status,
        prompt_continuation="  ",
    )
    while True:
        try:
            yield session.prompt("> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _key_bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    @bindings.add("c-j")
    def begin_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


def kept_history() -> History:
    """The history of earlier sessions, readable by its owner alone; of this session only, where it cannot be kept."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    path = Path(state) / "tenuto" / "chat_history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)
