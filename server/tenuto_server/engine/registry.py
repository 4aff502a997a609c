"""The replies that the engine works on, by the id that their clients know: for steering them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.worker_messages import MAX_STEERS

from ..budgets.resolution import FloorCheck
from ..errors import NotRunning, SteeringError
from .accounting import CountedReply

#: How vLLM's serving objects number the parts of a response, by the path that was asked: `ID-2`, `ID_2`. These are its
#: prompts, its conversations, its turns. Where there are no parts, an id is the response's, whatever it ends in.
_SEPARATORS = {"/v1/completions": "-", "/v1/chat/completions/batch": "_", "/v1/responses": "_"}
_TURNS = frozenset({"/v1/responses"})


def response_of(engine_id: str, path: str, n: int) -> tuple[str, int]:
    """Which response a reply is for, and the index of its first choice there.

    Args:
        path: of the HTTP request that the engine works for.
        n: choices of each part.
    """
    separator = _SEPARATORS.get(path)
    response_id, _, part = engine_id.rpartition(separator) if separator else ("", "", "")
    if not part.isdecimal():
        return engine_id, 0
    return response_id, 0 if path in _TURNS else int(part) * n


@dataclass(eq=False, slots=True)
class RunningReply:
    """A reply to one prompt while the engine works on it.

    Attributes:
        id: of the response, as its client knows it; the replies to several prompts share it.
        first_index: of its first choice among those of the response.
        key: under which the engine's workers know its sequences.
        reply: its account.
        budget: what it was started with.
        check_floor: refuses a floor that leaves no room for the answer.
        steers: how often it was steered.
        is_over: whether it has come to an end, whatever end that was.
    """

    id: str
    first_index: int
    key: str
    reply: CountedReply
    budget: ThinkingBudget | None
    check_floor: FloorCheck
    steers: int = field(default=0, init=False)
    is_over: bool = field(default=False, init=False)

    def check(self, until: int | None) -> None:
        """Whether it can be steered so; `until` as of `ThinkingAutomaton.steer`.

        Raises:
            SteeringError: without a budget, and when it was steered too often.
            InvalidBudget: for a floor that leaves no room for the answer.
        """
        if until is not None:
            self.check_floor(until)
        if self.budget is None:
            raise SteeringError(
                "this reply was started without a thinking budget, so nothing watches over it; a request with any "
                "field of a budget can be steered, `min_thinking_tokens: 0` is enough"
            )
        if self.steers == MAX_STEERS:
            raise SteeringError(f"this reply was steered {MAX_STEERS} times already, which is as often as one can be")

    def next_number(self) -> int:
        """The number of a new steer, once it was checked."""
        self.steers += 1
        return self.steers


class RunningReplies:
    """All that run, from their first step to whatever end they come to.

    Args:
        depart: is told the key of every reply that is over and that the workers know of.
    """

    def __init__(self, depart: Callable[[str], None]) -> None:
        self._depart = depart
        self._by_id: dict[str, list[RunningReply]] = {}

    @contextmanager
    def during(self, running: RunningReply) -> Iterator[None]:
        """Known for as long as this is open."""
        self._by_id.setdefault(running.id, []).append(running)
        try:
            yield
        finally:
            running.is_over = True
            if running.budget is not None:
                self._depart(running.key)
            self._by_id[running.id].remove(running)
            if not self._by_id[running.id]:
                del self._by_id[running.id]

    def find(self, reply_id: str) -> list[RunningReply]:
        """The replies of a response. Raises NotRunning where there is none."""
        found = self._by_id.get(reply_id)
        if not found:
            raise NotRunning(reply_id)
        return list(found)

    def __len__(self) -> int:
        return sum(map(len, self._by_id.values()))
