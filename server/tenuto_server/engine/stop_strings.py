"""Stop strings end the answer, never the thinking: only the text after the thinking is searched for them.

vLLM searches all of the text. A stop string that occurs in the thinking, a marker or a forced text would end the reply
without an answer.
"""

import sys
from collections.abc import Callable
from typing import Any

from tenuto_decoding.actions import Force
from tenuto_decoding.automaton import ThinkingAutomaton
from tenuto_decoding.prompt import Phase
from tenuto_decoding.vllm_requests import REQUEST_KEY

from ..vllm_compat import BaseIncrementalDetokenizer, EngineCoreRequest, IncrementalDetokenizer, OutputProcessor

#: The automaton of a new sequence, by the key of its request; None where nothing is counted.
Start = Callable[[str], ThinkingAutomaton | None]


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
        text: str = self._inner.get_next_output_text(finished, delta)
        return text

    def update(self, new_token_ids: list[int], stop_terminated: bool) -> str | None:
        """Take tokens one by one; the stop string that one of them completes, or None."""
        for place, token in enumerate(new_token_ids):
            # vLLM searches nothing while there are fewer than `min_tokens` tokens.
            self._inner.min_tokens = self._min_tokens if self._is_answer(token) else sys.maxsize
            last = place == len(new_token_ids) - 1
            stop: str | None = self._inner.update([token], stop_terminated and last)
            if stop is not None:
                return stop
        return None

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
        start: the automaton of a new sequence.
    """

    def __init__(self, original: OutputProcessor, start: Start) -> None:
        self.__dict__.update(vars(original))  # whatever vLLM's constructor has made of its arguments
        self._start = start

    def add_request(self, request: EngineCoreRequest, *args: Any, **kwargs: Any) -> None:
        super().add_request(request, *args, **kwargs)
        state, params = self.request_states[request.request_id], request.sampling_params
        inner = state.detokenizer
        if params is None or not params.stop or not isinstance(inner, BaseIncrementalDetokenizer):
            return
        key = (params.extra_args or {}).get(REQUEST_KEY, "")
        automaton = self._start(key)
        if automaton is not None:
            state.detokenizer = AnswerOnlyDetokenizer(inner, automaton, key)

    def steered(self, key: str) -> None:
        """The sequences that the engine's workers know under this key are about to be steered."""
        for state in self.request_states.values():
            if isinstance(state.detokenizer, AnswerOnlyDetokenizer) and state.detokenizer.key == key:
                state.detokenizer.is_steered = True
