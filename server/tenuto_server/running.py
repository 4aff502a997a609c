"""The replies that the engine works on, by the id that their clients know: for steering them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.steering import MAX_STEERS

from .accounting import Reply
from .errors import NotRunning, SteeringError
from .policy import FloorCheck

#: What vLLM's serving objects add to the id of a response for its prompts, conversations and turns.
_PART = re.compile(r"(cmpl-.*)-(\d+)|((?:chatcmpl-|resp_).*)_(\d+)", re.DOTALL)


@dataclass(eq=False, slots=True)
class RunningReply:
    """A reply to one prompt while the engine works on it.

    Attributes:
        id: the engine's; that of the response, with a number behind it where a response has several parts.
        key: under which the engine's workers know its sequences.
        reply: its account.
        budget: what it was started with.
        check_floor: refuses a floor that leaves no room for the answer.
        steers: how often it was steered.
        is_over: whether it has come to an end, whatever end that was.
    """

    id: str
    key: str
    reply: Reply
    budget: ThinkingBudget | None
    check_floor: FloorCheck
    steers: int = field(default=0, init=False)
    is_over: bool = field(default=False, init=False)

    @property
    def first_index(self) -> int:
        """Index of its first choice among those of the response."""
        _, part = _split(self.id)
        return 0 if self.id.startswith("resp_") else part * len(self.reply.choices)

    def next_number(self) -> int:
        """The number of a new steer. Raises SteeringError when there were too many, and without a budget."""
        if self.budget is None:
            raise SteeringError(
                "this reply was started without a thinking budget, so nothing watches over it; a request with any "
                "field of a budget can be steered, `min_thinking_tokens: 0` is enough"
            )
        if self.steers == MAX_STEERS:
            raise SteeringError(f"this reply was steered {MAX_STEERS} times already, which is as often as one can be")
        self.steers += 1
        return self.steers


class RunningReplies:
    """All that run, from their first step to whatever end they come to."""

    def __init__(self) -> None:
        self._by_id: dict[str, list[RunningReply]] = {}
        self._by_response: dict[str, list[RunningReply]] = {}

    @contextmanager
    def during(self, running: RunningReply) -> Iterator[None]:
        """Known for as long as this is open."""
        response, _ = _split(running.id)
        entries = ((self._by_id, running.id), (self._by_response, response))
        for index, name in entries:
            index.setdefault(name, []).append(running)
        try:
            yield
        finally:
            running.is_over = True
            for index, name in entries:
                index[name].remove(running)
                if not index[name]:
                    del index[name]

    def find(self, reply_id: str) -> list[RunningReply]:
        """The replies of a response, or one part of it by its own id. Raises NotRunning where there is none."""
        found = self._by_id.get(reply_id) or self._by_response.get(reply_id)
        if not found:
            raise NotRunning(reply_id)
        return list(found)

    def __len__(self) -> int:
        return sum(map(len, self._by_id.values()))


def _split(engine_id: str) -> tuple[str, int]:
    """The id of the response, and which part of it this is."""
    match = _PART.fullmatch(engine_id)
    if match is None:
        return engine_id, 0
    return (match[1], int(match[2])) if match[1] else (match[3], int(match[4]))
