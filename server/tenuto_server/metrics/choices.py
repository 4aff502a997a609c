"""What choices have done, recorded once for each when it has ended, and counted while it runs at each scrape."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from .definitions import RUNNING_PHASES, SERIES
from .factory import OWN_BOUNDS, Bounds, begin, counter, family, histogram

THINKING, ANSWER = "tenuto_thinking_tokens_total", "tenuto_answer_tokens_total"
RUNNING, REMAINING = "tenuto_running_choices", "tenuto_remaining_thinking_tokens"
_BEYOND = "tenuto_thinking_tokens_beyond_total"

#: The counters that are recorded here; the table has their labels.
_COUNTERS = (
    "tenuto_waits_total",
    "tenuto_thinking_endings_total",
    "tenuto_forced_ends_total",
    "tenuto_landings_total",
    "tenuto_empty_answers_total",
    "tenuto_steering_actions_total",
    _BEYOND,
)


@dataclass(frozen=True, slots=True)
class LiveChoice:
    """A choice of a running reply, at the time of a scrape.

    Attributes:
        phase: one of RUNNING_PHASES; None for one that has ended before the other choices of a whole reply.
        thinking, answer: its tokens so far.
        remaining: thinking tokens that it may still generate.
    """

    model_name: str
    phase: str | None
    thinking: int
    answer: int
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedChoice:
    """A choice that has ended. Times are of `time.monotonic`; None for what never came.

    Attributes:
        is_finished: whether the engine has generated all of it; else it was cancelled, cut, or has failed.
        ending: why its thinking ended, of the values of tenuto_thinking_endings_total.
        forced_by: what of its budget ended the thinking.
        empty: why it has no answer; None where it has one.
        requested_cap, requested_floor: bounds that the request has set itself.
        cap: in force at the end.
        arrived: when the request did.
        first_thinking, first_answer, last: when these tokens came.
    """

    model_name: str
    effort: str
    is_finished: bool
    ending: str
    thinking: int
    answer: int
    waits: int
    forced_by: str | None
    empty: str | None
    requested_cap: int | None
    requested_floor: int
    cap: int | None
    arrived: float
    first_thinking: float | None
    first_answer: float | None
    last: float


class ChoiceMetrics:
    """The metrics of all choices of one engine.

    Args:
        model_name: of the served model, whose series exist from the start, so that their first increase is seen.
        bounds: of the histograms.
        running: the choices of running replies that are not recorded yet.
    """

    def __init__(self, model_name: str, bounds: Bounds, running: Callable[[], Iterable[LiveChoice]]) -> None:
        bounds = {**OWN_BOUNDS, **bounds}
        self._model_name = model_name
        self._running = running
        self._thresholds = bounds["request_tokens"]
        self._counters = {name: counter(name) for name in _COUNTERS}
        self._histograms = {
            series.name: histogram(series.name, bounds) for series in SERIES if series.kind == "histogram"
        }
        self._ended: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])  # thinking and answer tokens
        self._exported: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._ended[model_name] = [0, 0]
        values = {"model_name": [model_name], "threshold": [*map(_text, self._thresholds)]}
        for name in _COUNTERS:
            begin(name, self._counters[name], values)
        for name, made in self._histograms.items():
            begin(name, made, values)

    def add_tokens(self, model_name: str, thinking: int, answer: int) -> None:
        """Count the tokens of a choice that is not running any more."""
        ended = self._ended[model_name]
        ended[0] += thinking
        ended[1] += answer

    def record(self, choice: EndedChoice) -> None:
        """Record a choice that has ended, once."""
        model = choice.model_name
        self.add_tokens(model, choice.thinking, choice.answer)
        self._counter("tenuto_waits_total", model).inc(choice.waits)
        self._counter("tenuto_thinking_endings_total", model, choice.ending).inc()
        if choice.forced_by is not None:
            self._counter("tenuto_forced_ends_total", model, choice.forced_by).inc()
        if choice.forced_by == "landing":
            self._counter("tenuto_landings_total", model).inc()
        if choice.is_finished:
            self._record_finished(choice)

    def _record_finished(self, choice: EndedChoice) -> None:
        model = choice.model_name
        self._observe("tenuto_choice_thinking_tokens", choice.thinking, model, choice.effort)
        self._observe("tenuto_choice_answer_tokens", choice.answer, model)
        self._observe("tenuto_choice_waits", choice.waits, model)
        for threshold in self._thresholds:
            if threshold < choice.thinking:
                self._counter(_BEYOND, model, _text(threshold)).inc(choice.thinking - threshold)
        if choice.requested_cap is not None:
            self._observe("tenuto_requested_max_thinking_tokens", choice.requested_cap, model)
        if choice.requested_floor:
            self._observe("tenuto_requested_min_thinking_tokens", choice.requested_floor, model)
        if choice.cap:
            self._observe("tenuto_budget_used_ratio", choice.thinking / choice.cap, model)
        if choice.empty is not None:
            self._counter("tenuto_empty_answers_total", model, choice.empty).inc()
        self._record_times(choice)

    def _record_times(self, choice: EndedChoice) -> None:
        model, arrived = choice.model_name, choice.arrived
        first_thinking, first_answer = choice.first_thinking, choice.first_answer
        if first_thinking is not None:
            self._observe("tenuto_time_to_first_thinking_token_seconds", first_thinking - arrived, model)
        if first_answer is not None:
            self._observe("tenuto_time_to_first_answer_token_seconds", first_answer - arrived, model)
            self._observe("tenuto_answer_duration_seconds", choice.last - first_answer, model)
        if first_thinking is not None and first_answer is not None:
            self._observe("tenuto_thinking_duration_seconds", first_answer - first_thinking, model)

    def record_steering(self, model_name: str, action: str, outcome: str, choices: int = 1) -> None:
        """Count the result of steering for that many choices."""
        self._counter("tenuto_steering_actions_total", model_name, action, outcome).inc(choices)

    def _counter(self, name: str, *labels: str) -> Counter:
        return self._counters[name].labels(*labels)

    def _observe(self, name: str, value: float, *labels: str) -> None:
        self._histograms[name].labels(*labels).observe(value)

    def collect(self) -> Iterator[Metric]:
        """All samples as they are now."""
        recorded: Iterable[Counter | Histogram] = (*self._counters.values(), *self._histograms.values())
        for made in recorded:
            yield from made.collect()
        yield from self._collect_running()

    def _collect_running(self) -> Iterator[Metric]:
        """Counts of tokens, which never decrease, though those of a running choice may be corrected when it ends."""
        tokens = {model: list(ended) for model, ended in self._ended.items()}
        phases = dict.fromkeys(product([self._model_name], RUNNING_PHASES), 0)
        remaining = {self._model_name: 0}
        for choice in self._running():
            counts = tokens.setdefault(choice.model_name, [0, 0])
            counts[0] += choice.thinking
            counts[1] += choice.answer
            if choice.phase is not None:
                phases[choice.model_name, choice.phase] = phases.get((choice.model_name, choice.phase), 0) + 1
            remaining[choice.model_name] = remaining.get(choice.model_name, 0) + choice.remaining
        thinking, answer = family(THINKING, "counter"), family(ANSWER, "counter")
        for model, counts in tokens.items():
            exported = self._exported[model]
            exported[:] = map(max, exported, counts)
            thinking.add_metric([model], exported[0])
            answer.add_metric([model], exported[1])
        running, left = family(RUNNING, "gauge"), family(REMAINING, "gauge")
        for labels, number in phases.items():
            running.add_metric(labels, number)
        for model, number in remaining.items():
            left.add_metric([model], number)
        yield from (thinking, answer, running, left)


def _text(bound: float) -> str:
    """A bound as the label `le` has it."""
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]
