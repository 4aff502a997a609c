"""Stop strings end the answer, never the thinking: what is searched for them begins where the thinking has ended.

vLLM searches all of the text. So a stop string that the thinking, a marker or a forced text happens to hold would end
the reply without an answer.
"""

import sys
from collections.abc import Callable

from vllm.sampling_params import SamplingParams
from vllm.v1.engine import EngineCoreRequest
from vllm.v1.engine.detokenizer import BaseIncrementalDetokenizer, IncrementalDetokenizer
from vllm.v1.engine.output_processor import OutputProcessor

from tenuto_decoding.actions import Force
from tenuto_decoding.automaton import ThinkingAutomaton
from tenuto_decoding.plan import ThinkingPlan
from tenuto_decoding.prompt import Phase
from tenuto_decoding.vllm_requests import REQUEST_KEY

#: The plan of a request, as far as this module needs it: from its parameters as they were sent to the engine.
PlanOf = Callable[[SamplingParams], ThinkingPlan | None]


class AnswerOnlyDetokenizer(IncrementalDetokenizer):
    """A detokenizer that searches no text of the thinking, of its markers and of what is forced behind them.

    Attributes:
        key: under which the engine's workers know the request; None without a budget.
        is_steered: whether the thinking may be closed where the budget does not say so; then the answer's prefix behind
            it is taken for forced.
    """

    def __init__(self, inner: BaseIncrementalDetokenizer, automaton: ThinkingAutomaton, key: str | None = None) -> None:
        self._inner = inner
        self._automaton = automaton
        self._min_tokens = inner.min_tokens
        # How many ids of the answer's prefix stand directly behind the thinking; all, where no more can.
        self._behind = len(automaton.plan.answer_prefix)
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
            # vLLM searches nothing of what comes before the least number of tokens.
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
            self._behind = 0
            return False
        return not forced and not self._is_prefix(token)

    def _is_prefix(self, token: int) -> bool:
        """Whether the token goes on with a prefix that steering has brought."""
        prefix = self._automaton.plan.answer_prefix
        fits = self.is_steered and self._behind < len(prefix) and token == prefix[self._behind]
        self._behind = self._behind + 1 if fits else len(prefix)
        return fits


class AnswerOnlyOutputProcessor(OutputProcessor):
    """vLLM's output processor, with `AnswerOnlyDetokenizer` for the requests that have stop strings."""

    def __init__(self, vllms: OutputProcessor, plan_of: PlanOf) -> None:
        super().__init__(
            vllms.tokenizer,
            log_stats=vllms.log_stats,
            stream_interval=vllms.stream_interval,
            tracing_enabled=vllms.tracing_enabled,
            admission_stats=vllms.admission_stats,
        )
        self._plan_of = plan_of

    def add_request(self, request: EngineCoreRequest, *args: object, **kwargs: object) -> None:
        super().add_request(request, *args, **kwargs)
        state, params = self.request_states[request.request_id], request.sampling_params
        inner = state.detokenizer
        if params is None or not params.stop or not isinstance(inner, BaseIncrementalDetokenizer):
            return
        plan = self._plan_of(params)
        if plan is not None:
            key = (params.extra_args or {}).get(REQUEST_KEY)
            state.detokenizer = AnswerOnlyDetokenizer(
                inner, ThinkingAutomaton.after(plan, request.prompt_token_ids or ()), key
            )

    def steered(self, key: str) -> None:
        """The sequences that the engine's workers know under this key are about to be steered."""
        for state in self.request_states.values():
            if isinstance(state.detokenizer, AnswerOnlyDetokenizer) and state.detokenizer.key == key:
                state.detokenizer.is_steered = True
