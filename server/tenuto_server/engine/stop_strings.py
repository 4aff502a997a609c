"""Stop strings end the answer, never the thinking: a match begins and ends in the text of the answer.

vLLM searches all of the text. A stop string that occurs in the thinking, a marker or a forced text, or that begins in
one of them, would end the reply without an answer.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tenuto_decoding.actions import Force
from tenuto_decoding.automaton import ThinkingAutomaton
from tenuto_decoding.prompt import Phase
from tenuto_decoding.vllm_requests import REQUEST_KEY

from ..vllm_compat import BaseIncrementalDetokenizer, EngineCoreRequest, IncrementalDetokenizer, OutputProcessor
from .accounting import CountedReply

#: The reply that is generated for a request, by its key; None where nothing is counted.
FindReply = Callable[[str], CountedReply | None]


@dataclass(frozen=True, slots=True)
class Match:
    """A stop string in a text, and the places where it begins and ends."""

    stop: str
    start: int
    end: int


def find_stop(text: str, stops: list[str], begin: int, searched: int, end: int) -> Match | None:
    """The match that ends first, of several that of the first stop string.

    Args:
        begin, end: between which it lies.
        searched: the characters in which none ends.
    """
    found = None
    for stop in stops:
        start = text.find(stop, max(begin, searched + 1 - len(stop)), end)
        if start >= 0 and (found is None or start + len(stop) < found.end):
            found = Match(stop, start, start + len(stop))
    return found


class AnswerOnlyDetokenizer(IncrementalDetokenizer):
    """A detokenizer that searches neither the thinking, nor its markers, nor what is forced after them.

    Attributes:
        key: under which the engine's workers know the request.
        is_steered: whether the thinking may be closed where the budget does not; then an answer prefix that follows it
            is taken for forced.
    """

    def __init__(self, inner: BaseIncrementalDetokenizer, automaton: ThinkingAutomaton, key: str) -> None:
        self._inner = inner
        self._automaton = automaton
        self._min_tokens = inner.min_tokens
        self._buffer = inner.stop_buffer_length
        inner.min_tokens = sys.maxsize  # vLLM searches nothing before that many tokens
        # Characters before the answer; and those that were searched, or cannot end a match.
        self._answer_from = self._searched = 0
        self._token_starts: list[int] = []  # of the last tokens, which may become a marker
        # How many ids of the answer prefix follow the thinking directly; all of them, once no more can.
        self._prefix_ids = len(automaton.plan.answer_prefix)
        self.key = key
        self.is_steered = False

    @property
    def output_token_ids(self) -> list[int]:
        ids: list[int] = self._inner.output_token_ids
        return ids

    def num_output_tokens(self) -> int:
        number: int = self._inner.num_output_tokens()
        return number

    def get_next_output_text(self, finished: bool, delta: bool) -> str:
        if self._automaton.opening:  # this may become a marker, and until it has not, a stop string is not looked for
            self._inner.stop_buffer_length = self._buffer + len(self._inner.output_text) - self._searched
        text: str = self._inner.get_next_output_text(finished, delta)
        self._inner.stop_buffer_length = self._buffer
        return text

    def update(self, new_token_ids: list[int], stop_terminated: bool) -> str | None:
        """Take tokens one by one; the stop string that one of them completes, or None."""
        for place, token in enumerate(new_token_ids):
            is_answer, last = self._is_answer(token), place == len(new_token_ids) - 1
            self._token_starts.append(len(self._inner.output_text))
            self._inner.update([token], stop_terminated and last)
            stop = self._stop_after(is_answer)
            if stop is not None:
                return stop
        return None

    def _stop_after(self, is_answer: bool) -> str | None:
        """The stop string that the newest token completes; the text then ends before or after it."""
        inner, opening = self._inner, self._automaton.opening
        self._token_starts = self._token_starts[-opening:] if opening else []
        end = self._token_starts[0] if opening else len(inner.output_text)
        if not is_answer:
            self._answer_from = self._searched = len(inner.output_text)
            return None
        match = None
        if inner.num_output_tokens() > self._min_tokens:
            match = find_stop(inner.output_text, inner.stop, self._answer_from, self._searched, end)
        self._searched = end
        if match is None:
            return None
        inner.output_text = inner.output_text[: match.end if inner.include_stop_str_in_output else match.start]
        return match.stop

    def _is_answer(self, token: int) -> bool:
        """Whether the token belongs to what the caller sees as the answer; the automaton takes it."""
        automaton = self._automaton
        before, forced = automaton.phase, isinstance(automaton.action(), Force)
        automaton.advance(token)
        if before is Phase.THINKING or automaton.phase is Phase.THINKING:
            self._prefix_ids = 0
            return False
        return not forced and not self._is_prefix(token)

    def _is_prefix(self, token: int) -> bool:
        """Whether the token continues an answer prefix that steering has forced."""
        prefix = self._automaton.plan.answer_prefix
        fits = self.is_steered and self._prefix_ids < len(prefix) and token == prefix[self._prefix_ids]
        self._prefix_ids = self._prefix_ids + 1 if fits else len(prefix)
        return fits


class AnswerOnlyOutputProcessor(OutputProcessor):
    """vLLM's output processor, with `AnswerOnlyDetokenizer` for requests that have stop strings.

    Args:
        original: the processor whose place it takes, before that one has been used.
        find: finds the reply of a new sequence.
    """

    def __init__(self, original: OutputProcessor, find: FindReply) -> None:
        self.__dict__.update(vars(original))  # whatever vLLM's constructor has made of its arguments
        self._find = find

    def add_request(self, request: EngineCoreRequest, *args: Any, **kwargs: Any) -> None:
        super().add_request(request, *args, **kwargs)
        state, params = self.request_states[request.request_id], request.sampling_params
        inner = state.detokenizer
        if params is None or not params.stop or not isinstance(inner, BaseIncrementalDetokenizer):
            return
        key = (params.extra_args or {}).get(REQUEST_KEY, "")
        reply = self._find(key)
        if reply is not None:
            state.detokenizer = AnswerOnlyDetokenizer(inner, reply.resolved.start(), key)

    def steered(self, key: str) -> None:
        """The sequences that the engine's workers know under this key are about to be steered."""
        for state in self.request_states.values():
            if isinstance(state.detokenizer, AnswerOnlyDetokenizer) and state.detokenizer.key == key:
                state.detokenizer.is_steered = True
