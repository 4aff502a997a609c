"""Turn the bytes of a streamed reply into events."""

from collections.abc import Iterator

from tenuto import parsing
from tenuto.body import Body, budget_fields
from tenuto.errors import BudgetIgnored, InvalidReply, StreamError
from tenuto.replies import ChoiceFinished, Event, Json, Started
from tenuto.sse_decoder import SSEDecoder
from tenuto.status_errors import error_object


class EventParser:
    """Parses the stream of the reply to `body` chunk by chunk. Call `finish` after the last chunk."""

    def __init__(self, body: Body) -> None:
        self._budget = budget_fields(body)
        self._reported = False
        self._decoder = SSEDecoder()
        self._done = self._started = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that this chunk completes; exhaust the iterator. Raises StreamError for an error event."""
        for event in self._decoder.feed(chunk):
            if event.data == "[DONE]":
                self._done = True
                continue
            for each in self._events(event.data):
                self._reported |= isinstance(each, ChoiceFinished) and each.thinking is not None
                yield each

    def finish(self) -> None:
        """Raise StreamError without the final event, and BudgetIgnored without a report on the budget."""
        if not self._done:
            raise StreamError("the stream ended before the reply was complete")
        if self._budget and not self._reported:
            raise BudgetIgnored(self._budget)

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
