"""Turn the bytes of a streamed reply into events."""

from collections.abc import Iterator

from tenuto import parsing
from tenuto.errors import InvalidReply, StreamError
from tenuto.replies import Event, Json, Started
from tenuto.sse_decoder import SSEDecoder
from tenuto.status_errors import error_object


class EventParser:
    """Parses the body of a stream chunk by chunk. Call `finish` after the last chunk."""

    def __init__(self) -> None:
        self._decoder = SSEDecoder()
        self._done = self._started = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that this chunk completes; exhaust the iterator. Raises StreamError for an error event."""
        for event in self._decoder.feed(chunk):
            if event.data == "[DONE]":
                self._done = True
            else:
                yield from self._events(event.data)

    def finish(self) -> None:
        """Raise StreamError if the stream has not sent its final event."""
        if not self._done:
            raise StreamError("the stream ended before the reply was complete")

    def _events(self, data: str) -> list[Event]:
        try:
            value = parsing.load_object(data)
            if "error" not in value:
                return [*self._start(value), *parsing.checked(parsing.parse_events, value)]
        except InvalidReply as error:
            raise StreamError(str(error)) from error
        details = error_object(value)
        raise StreamError(details.get("message") or data, type=details.get("type"), code=details.get("code"))

    def _start(self, value: Json) -> list[Event]:
        """Return the `Started` event if this is the first chunk, otherwise nothing."""
        started, self._started = self._started, True
        return [] if started or "id" not in value else [Started(value["id"])]
