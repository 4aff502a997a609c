"""Decode server-sent events from chunks of any size (the WHATWG rules for `text/event-stream`)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its name (`message` by default) and its data lines joined by newlines."""

    event: str
    data: str


class SSEDecoder:
    """Takes bytes and returns the events that they complete. An event without a blank line after it is never returned.

    Comments and the fields `id` and `retry` are dropped: a client cannot reconnect to a reply in progress.
    """

    def __init__(self) -> None:
        self._line = b""
        self._after_cr = False
        self._event = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Return the events that this chunk completes, in order."""
        return [event for line in self._lines(chunk) if (event := self._process(line))]

    def _lines(self, chunk: bytes) -> Iterator[str]:
        if not chunk:
            return
        if self._after_cr:  # the previous chunk may have ended between "\r" and "\n"
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        *ended, rest = _LINE_END.split(chunk)
        for line in ended:
            yield (self._line + line).decode(errors="replace")
            self._line = b""
        self._line += rest

    def _process(self, line: str) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        event = ServerSentEvent(self._event or "message", "\n".join(self._data)) if self._data else None
        self._event, self._data = "", []
        return event
