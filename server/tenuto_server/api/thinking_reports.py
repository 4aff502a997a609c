"""Adds thinking reports and exact token counts to what vLLM's serving objects return, whole or streamed."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from pydantic_core import from_json, to_json

from tenuto_decoding.errors import InvalidBudget

from ..context import report_stream_error
from ..engine.accounting import Collection, CountedChoice, CountedReply, collect_nothing, collect_replies
from ..engine.forced_text import ForcedSpan, ForcedText
from ..vllm_compat import CompletionTokenUsageInfo

T = TypeVar("T")

#: The report again, in a chat's last delta: the `openai` SDK's `stream()` drops unknown fields of choices, and keeps
#: those of deltas, in the message.
IN_DELTA = "thinking_report"

#: The last event of a stream in OpenAI's shape.
DONE = "data: [DONE]\n\n"


class CountedReplies:
    """The replies that the engine generates for one HTTP request. They grow while the response streams.

    Attributes:
        replies: none if the model's thinking markers are unknown.
        are_dropped: whether the response has none of their tokens.

    Args:
        discarded: collect nothing. For beam search: what the engine generates are not the response's choices but the
            steps of the search, of which there may be very many.
    """

    def __init__(self, *, discarded: bool = False) -> None:
        self.replies: list[CountedReply] = []
        self.is_discarded = discarded
        self.are_dropped = False

    @property
    def choices(self) -> list[CountedChoice]:
        """The choices of all replies in the order of the response: those of the first prompt, of the second, ..."""
        return [choice for reply in self.replies for choice in reply.choices]

    @property
    def reasoning_tokens(self) -> int:
        return 0 if self.are_dropped else sum(choice.report.tokens for choice in self.choices)

    def report(self, index: int) -> dict[str, Any] | None:
        """The report of one choice, for the response."""
        if not self.replies:
            return None
        report = self.choices[index].report
        return (report.without_tokens() if self.are_dropped else report).to_dict()

    async def collect(self, work: Awaitable[T]) -> T:
        """The result of the work. What the engine generates for it is collected."""
        with self._collecting():
            return await work

    async def collect_from(self, events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The events, unchanged. What the engine generates while they are awaited is collected."""
        async with aclosing(events):
            while True:
                with self._collecting():
                    try:
                        event = await anext(events)
                    except StopAsyncIteration:
                        return
                yield event

    def _collecting(self) -> Collection:
        return collect_nothing() if self.is_discarded else collect_replies(self.replies)


def counted_replies(request: Any, raw_request: Request) -> CountedReplies:
    """Where the replies to a request that may use beam search are counted.

    Raises:
        InvalidBudget: for beam search if the server's default budget would apply.
    """
    if request.use_beam_search and raw_request.app.state.service.has_default_budget:
        raise InvalidBudget(
            "use_beam_search", "this server has a default thinking budget, which beam search cannot keep"
        )
    return CountedReplies(discarded=request.use_beam_search)


def add_reports_to_choices(response: Any, counted: CountedReplies) -> None:
    """Complete a whole response in OpenAI's shape: a report for every choice, the count in the usage."""
    for choice in response.choices:
        choice.thinking = counted.report(choice.index)
    if counted.replies:
        response.usage.completion_tokens_details = CompletionTokenUsageInfo(reasoning_tokens=counted.reasoning_tokens)


class ForcedTexts:
    """The forced texts of all choices of a response, which `choices[].forced` lists on request.

    Following them takes a second automaton for each choice, and so some time for each token.

    Args:
        counted: the replies.
        tokenizer: of the model.
        skip_special_tokens: whether the replies' texts leave special tokens out.
    """

    def __init__(self, counted: CountedReplies, tokenizer: Any, *, skip_special_tokens: bool) -> None:
        self._counted, self._tokenizer, self._skips = counted, tokenizer, skip_special_tokens
        self._followed: dict[int, ForcedText] = {}

    def spans(self, index: int, *, is_last: bool) -> list[dict[str, Any]] | None:
        """What was found in a choice since its last chunk, in its last chunk everything; None for no mention."""
        if not self._counted.replies or self._counted.are_dropped:
            return None
        followed = self._followed.get(index)
        if followed is None:
            choice = self._counted.choices[index]
            followed = self._followed[index] = ForcedText(choice, self._tokenizer, skip_special_tokens=self._skips)
        spans: list[ForcedSpan] = followed.all_spans() if is_last else followed.new_spans()
        return [span.to_dict() for span in spans] if spans or is_last else None


async def add_reports_to_chunks(
    events: AsyncGenerator[str, None], counted: CountedReplies, forced: ForcedTexts | None = None
) -> AsyncGenerator[str, None]:
    """Complete a stream in OpenAI's shape.

    The report is in the last chunk of a choice, and the count in every usage. Reasoning gets its second name, and
    forced texts are listed where they are followed.
    """
    # All requests to the engine were made before the stream began, except those of a beam search.
    async with aclosing(counted.collect_from(events) if counted.is_discarded else events) as collected:
        async for event in collected:
            yield event if event == DONE else _complete(event, counted, forced)


def _complete(event: str, counted: CountedReplies, forced: ForcedTexts | None) -> str:
    """One chunk, completed; the same text if there is nothing to add."""
    chunk = from_json(event.removeprefix("data: "))
    if "error" in chunk:
        report_stream_error()
        return event
    changed = False
    for choice in chunk["choices"]:
        delta = choice.get("delta")
        if delta and delta.get("reasoning") is not None:
            delta["reasoning_content"] = delta["reasoning"]
            changed = True
        if choice["finish_reason"] is not None:
            choice["thinking"] = counted.report(choice["index"])
            if delta is not None:
                delta[IN_DELTA] = choice["thinking"]
            changed = True
        spans = None if forced is None else forced.spans(choice["index"], is_last=choice["finish_reason"] is not None)
        if spans is not None:
            choice["forced"] = spans
            changed = True
    if counted.replies and chunk.get("usage"):
        chunk["usage"]["completion_tokens_details"] = {"reasoning_tokens": _count_so_far(chunk, counted)}
        changed = True
    return f"data: {to_json_text(chunk)}\n\n" if changed else event


def _count_so_far(chunk: dict[str, Any], counted: CountedReplies) -> int:
    """The thinking tokens of the choices in a chunk with usage, or of all if it has none."""
    choices = [counted.choices[choice["index"]] for choice in chunk["choices"]] or counted.choices
    tokens = sum(choice.report.tokens for choice in choices)
    # The chunk that opens a choice says 0 tokens, though the engine may have generated some already.
    return min(tokens, int(chunk["usage"]["completion_tokens"]))


def to_json_text(data: Any) -> str:
    """Compact JSON, as in a stream."""
    return to_json(data).decode()
