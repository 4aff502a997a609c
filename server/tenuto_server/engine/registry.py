"""The replies that the engine is generating, by the id that their clients know and by the key that the workers know."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tenuto_decoding.worker_messages import MAX_STEERS

from ..errors import NotRunning, SteeringError
from ..paths import find_endpoint
from ..vllm_compat import RequestSpan
from .accounting import CountedReply


def response_of(engine_id: str, path: str, n: int) -> tuple[str, int]:
    """Which response a reply is for, and the index of its first choice there.

    Args:
        path: of the HTTP request that the engine works for.
        n: choices of each part.
    """
    endpoint = find_endpoint(path)
    response_id, _, part = engine_id.rpartition(endpoint.part_separator) if endpoint.part_separator else ("", "", "")
    if not part.isdecimal():
        return endpoint.reply_id(engine_id), 0
    return response_id, 0 if endpoint.parts_are_turns else int(part) * n


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a reply was requested with, as far as metrics need it.

    Attributes:
        model_name: of the model or adapter that generates it.
        arrived: when its HTTP request did, by `time.monotonic`.
        effort: `reasoning_effort` of the request.
        max_tokens: the most that each choice can have.
        is_search_step: whether it is a step of a beam search and no reply of its own.
    """

    model_name: str = ""
    arrived: float = 0.0
    effort: str | None = None
    max_tokens: int = 0
    is_search_step: bool = False


@dataclass(eq=False, slots=True)
class RunningReply:
    """A reply to one prompt while the engine generates it.

    Attributes:
        id: of the response, as its client knows it; the replies to several prompts share it.
        first_index: of its first choice among those of the response.
        key: under which the engine's workers know its sequences.
        reply: its tokens and their count.
        origin: what it was requested with.
        span: makes spans for choices that do not finish; None if requests are not traced.
        steers: how often it was steered.
        is_over: whether it has ended, for any reason.
    """

    id: str
    first_index: int
    key: str
    reply: CountedReply
    origin: Origin = Origin()
    span: RequestSpan | None = None
    steers: int = field(default=0, init=False)
    is_over: bool = field(default=False, init=False)

    @property
    def has_budget(self) -> bool:
        """Whether the workers follow it."""
        return self.reply.resolved.budget is not None

    def check(self, until: int | None) -> None:
        """Refuse a steering request that cannot be carried out; `until` as of `ThinkingAutomaton.steer`.

        Raises:
            SteeringError: without a budget, and when it was steered too often.
            InvalidBudget: for a floor that leaves no room for the answer.
        """
        if until is not None:
            self.reply.resolved.check_floor(until)
        if not self.has_budget:
            raise SteeringError(
                "this reply was started without a thinking budget, so it is not followed; a request with any field of "
                "a budget can be steered, `min_thinking_tokens: 0` is enough"
            )
        if self.steers == MAX_STEERS:
            raise SteeringError(f"this reply was steered {MAX_STEERS} times already, which is the maximum")

    def next_number(self) -> int:
        """The number of a new steering request, once it was checked."""
        self.steers += 1
        return self.steers


class RunningReplies:
    """All replies that are being generated.

    Args:
        forget: called with the key of every reply that has ended and that the workers follow.
    """

    def __init__(self, forget: Callable[[str], None]) -> None:
        self._forget = forget
        self._by_id: dict[str, list[RunningReply]] = {}
        self._by_key: dict[str, RunningReply] = {}

    @contextmanager
    def registered(self, running: RunningReply) -> Iterator[None]:
        """Keep the reply registered while the context is open."""
        self._by_id.setdefault(running.id, []).append(running)
        self._by_key[running.key] = running
        try:
            yield
        finally:
            running.is_over = True
            if running.has_budget:
                self._forget(running.key)
            del self._by_key[running.key]
            self._by_id[running.id].remove(running)
            if not self._by_id[running.id]:
                del self._by_id[running.id]

    def find(self, reply_id: str) -> list[RunningReply]:
        """The replies of a response. Raises NotRunning where there is none."""
        found = self._by_id.get(reply_id)
        if not found:
            raise NotRunning(reply_id)
        return list(found)

    def by_key(self, key: str) -> RunningReply | None:
        """The reply that the workers know under this key."""
        return self._by_key.get(key)

    def __iter__(self) -> Iterator[RunningReply]:
        """Those of this moment: metrics are collected in another thread, while replies begin and end."""
        return iter(list(self._by_key.values()))

    def __len__(self) -> int:
        return len(self._by_key)
