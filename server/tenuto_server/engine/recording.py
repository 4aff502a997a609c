"""Records each choice once, however it ends, in metrics and in its span; shows those that run at each scrape."""

from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic

from vllm.outputs import CompletionOutput

from tenuto_decoding.errors import ThinkingError
from tenuto_decoding.prompt import Phase

from ..budgets.request_fields import CAP, FLOOR
from ..metrics.choices import ChoiceMetrics, EndedChoice, LiveChoice
from ..metrics.factory import Bounds
from .accounting import CountedChoice
from .registry import RunningReplies, RunningReply
from .steering import SteeringResult
from .tracing import release_span, trace_choice

#: How many of the first tokens of an answer are looked at first: those of most answers have text.
_FIRST = 16

_OUTCOMES = {True: "applied", False: "late", None: "pending"}

Decode = Callable[[Sequence[int]], str]


class Recorder:
    """Records the choices of one engine.

    Args:
        model_name: of the served model.
        running: the replies that are being generated.
        decode: gives the text of tokens, without special ones.
    """

    def __init__(self, model_name: str, bounds: Bounds, running: RunningReplies, decode: Decode) -> None:
        self.metrics = ChoiceMetrics(model_name, bounds, self._live)
        self._running = running
        self._decode = decode

    @contextmanager
    def following(self, running: RunningReply) -> Iterator[None]:
        """Record, at the end, what has not been recorded: it was cancelled or has failed."""
        ending = "cancelled"
        try:
            yield
        except (GeneratorExit, CancelledError):
            raise
        except BaseException:
            ending = "error"
            raise
        finally:
            for choice in running.reply.choices:
                if not choice.is_recorded:
                    self._record(running, choice, ending)

    @property
    def remaining_tokens(self) -> int:
        """Thinking tokens that running choices may still generate."""
        return sum(choice.remaining for choice in self._live())

    def finished(self, running: RunningReply, ended: Mapping[CountedChoice, CompletionOutput]) -> None:
        """Record choices that have ended and whose reports are final, with vLLM's last outputs of them."""
        for choice, output in ended.items():
            if output.finish_reason == "error":
                self._record(running, choice, "error")
            elif output.finish_reason != "abort":  # which the server's cut is, and `following` records it
                self._record(running, choice, None, self._empty(choice, output))

    @contextmanager
    def steering(self, replies: Sequence[RunningReply], until: int | None) -> Iterator[list[SteeringResult]]:
        """Record the results of steering that are in the list at the end, or that it was refused."""
        action, results = "answer_now" if until is None else "think_on", list[SteeringResult]()
        model_name = replies[0].origin.model_name
        try:
            yield results
        except ThinkingError:
            choices = sum(len(running.reply.choices) for running in replies)
            self.metrics.record_steering(model_name, action, "refused", choices)
            raise
        for result in results:
            self.metrics.record_steering(model_name, action, _OUTCOMES[result.applied])

    def _record(
        self, running: RunningReply, choice: CountedChoice, ending: str | None, empty: str | None = None
    ) -> None:
        choice.is_recorded = True
        report, origin, resolved = choice.report, running.origin, running.reply.resolved
        answer = len(choice.ids) - report.tokens
        if origin.is_search_step:
            self.metrics.add_tokens(origin.model_name, report.tokens, answer)
            release_span(choice)
            return
        outcome = ending or "finished"
        finished, budget = ending is None, resolved.budget
        if ending is None or phase_of(choice) == "answer":
            ending = report.ended_by
        set_by_request = {name for name, by in resolved.set_by.items() if by != "default"}
        ended = EndedChoice(
            model_name=origin.model_name,
            effort=origin.effort or "unset",
            is_finished=finished,
            ending=ending,
            thinking=report.tokens,
            answer=answer,
            waits=report.waits,
            forced_by=choice.automaton.forced_by,
            empty=empty,
            requested_cap=budget.max_thinking_tokens if budget and CAP in set_by_request else None,
            requested_floor=budget.min_thinking_tokens if budget and FLOOR in set_by_request else 0,
            cap=report.max_thinking_tokens,
            arrived=origin.arrived,
            first_thinking=choice.first_thinking,
            first_answer=choice.first_token if report.ended_by == "none" else choice.first_answer,
            last=choice.ended if choice.ended is not None else monotonic(),
        )
        self.metrics.record(ended)
        trace_choice(running, choice, ended, outcome)

    def _empty(self, choice: CountedChoice, output: CompletionOutput) -> str | None:
        """Why a choice has no answer; None where it has one."""
        if self._has_answer(choice, output.stop_reason):
            return None
        return "length" if output.finish_reason == "length" else "stopped"

    def _has_answer(self, choice: CountedChoice, stop: int | str | None) -> bool:
        """Whether there is text after the thinking, apart from a stop string and from what was forced before it."""
        automaton = choice.automaton
        if automaton.phase is Phase.THINKING:
            return False
        answer = choice.ids[choice.answer_from or 0 :]
        introduction = automaton.plan.answer_prefix if choice.answer_from else automaton.plan.no_thinking
        if answer[: len(introduction)] == list(introduction):
            answer = answer[len(introduction) :]
        if isinstance(stop, str):
            return bool(self._decode(answer).rpartition(stop)[0].strip())
        return bool(self._decode(answer[:_FIRST]).strip() or self._decode(answer[_FIRST:]).strip())

    def _live(self) -> Iterator[LiveChoice]:
        for running in self._running:
            for choice in running.reply.choices:
                if not choice.is_recorded:
                    yield _live(running, choice)


def phase_of(choice: CountedChoice) -> str:
    """Where a running choice is: `before` it thinks, if it will, `thinking`, or in its `answer`."""
    automaton = choice.automaton
    if automaton.phase is Phase.BEFORE:
        is_opening = not choice.ids or automaton.is_steerable or automaton.opening
        return "before" if is_opening else "answer"
    return str(automaton.phase.value)


def _live(running: RunningReply, choice: CountedChoice) -> LiveChoice:
    phase, tokens = None if choice.ended is not None else phase_of(choice), choice.automaton.tokens
    remaining = 0
    if phase in ("before", "thinking"):
        left, limit = choice.automaton.remaining, running.origin.max_tokens - len(choice.ids)
        remaining = max(limit if left is None else min(left, limit), 0)
    return LiveChoice(running.origin.model_name, phase, tokens, len(choice.ids) - tokens, remaining)
