"""What a server's own metrics must be, counted by a client from the replies that it got, with no code of the server's.

Reports, token ids and texts are the replies'; of requests that ended without a whole reply, the log line has them.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

#: A sample's name and labels.
Key = tuple[str, frozenset[tuple[str, str]]]

TOKENS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]
CAP = "max_thinking_tokens"
#: What reports say of thinking that has not ended, or not begun.
_OPEN = ("length", "none")


def key(name: str, **labels: str) -> Key:
    return name, frozenset(labels.items())


def samples(text: str) -> dict[Key, float]:
    """All samples of an exposition, without those that say when a series began."""
    return {
        key(sample.name, **sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@dataclass(frozen=True)
class SentChoice:
    """A finished choice, as its client has it.

    Attributes:
        report: of its thinking.
        tokens: all of its tokens.
        text: of its answer.
        is_cut: whether it ended at its token limit.
    """

    report: Mapping[str, Any]
    tokens: int
    text: str
    is_cut: bool = False


class ExpectedMetrics:
    """Counts what was sent to a server.

    Attributes:
        counts: of counters.
        observed: values that histograms have observed.
        seconds: for each histogram of times, how long the requests took together whose choices it has observed.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self.counts: Counter[Key] = Counter()
        self.observed: defaultdict[Key, list[float]] = defaultdict(list)
        self.seconds: defaultdict[Key, float] = defaultdict(float)

    def add(self, name: str, amount: int = 1, /, **labels: str) -> None:
        self.counts[key(name, **labels)] += amount

    def observe(self, name: str, value: float, **labels: str) -> None:
        self.observed[key(name, **labels)].append(value)

    def request(self, endpoint: str, outcome: str, *, model: str | None = None, reason: str = "") -> None:
        """A request that has ended; `reason` is why it was refused."""
        name = self.model if model is None else model
        self.add("tenuto_requests_total", model_name=name, endpoint=endpoint, outcome=outcome)
        if reason:
            self.add("tenuto_rejected_requests_total", endpoint=endpoint, reason=reason)

    def cancelled(self, endpoint: str, phase: str, *, model: str | None = None) -> None:
        """A request whose client has disconnected."""
        self.request(endpoint, "cancelled", model=model)
        name = self.model if model is None else model
        self.add("tenuto_cancelled_requests_total", model_name=name, phase=phase)

    def finished(
        self,
        choices: Sequence[SentChoice],
        seconds: float,
        *,
        model: str | None = None,
        effort: str = "unset",
        forced_by: str | None = None,
        requested: Mapping[str, int] | None = None,
    ) -> None:
        """The choices of one request.

        Args:
            seconds: that the request took.
            forced_by: how the cap ended their thinking, where it was not at the cap.
            requested: the bounds that the request set itself, where the reports do not say it.
        """
        for choice in choices:
            name = {"model_name": self.model if model is None else model}
            thinking, answer = choice.report["tokens"], choice.tokens - choice.report["tokens"]
            self.add("tenuto_thinking_tokens_total", thinking, **name)
            self.add("tenuto_answer_tokens_total", answer, **name)
            self.observe("tenuto_choice_thinking_tokens", thinking, **name, effort=effort)
            self.observe("tenuto_choice_answer_tokens", answer, **name)
            self.observe("tenuto_choice_waits", choice.report["waits"], **name)
            for threshold in TOKENS:
                beyond = max(thinking - threshold, 0)
                self.add("tenuto_thinking_tokens_beyond_total", beyond, **name, threshold=str(float(threshold)))
            for bound, value in (_requested(choice.report) if requested is None else requested).items():
                self.observe(f"tenuto_requested_{bound}", value, **name)
            if choice.report[CAP]:
                self.observe("tenuto_budget_used_ratio", thinking / choice.report[CAP], **name)
            self._ended(choice.report, choice.report["ended_by"], forced_by, name)
            if not choice.text.strip():
                reason = "length" if choice.is_cut else "stopped"
                self.add("tenuto_empty_answers_total", **name, reason=reason)
            self._times(choice.report, seconds, name)

    def unfinished(self, reports: Sequence[Mapping[str, Any]], tokens: int, ending: str) -> None:
        """The choices of a request that has ended without them.

        Args:
            tokens: of all of them.
            ending: `cancelled` or `error`.
        """
        name = {"model_name": self.model}
        thinking = sum(report["tokens"] for report in reports)
        self.add("tenuto_thinking_tokens_total", thinking, **name)
        self.add("tenuto_answer_tokens_total", tokens - thinking, **name)
        for report in reports:
            self._ended(report, report["ended_by"] if report["ended_by"] not in _OPEN else ending, None, name)

    def _ended(self, report: Mapping[str, Any], ended_by: str, forced_by: str | None, name: dict[str, str]) -> None:
        self.add("tenuto_waits_total", report["waits"], **name)
        self.add("tenuto_thinking_endings_total", **name, reason=ended_by)
        if ended_by in ("cap", "loop", "stop_token"):
            forced_by = (forced_by or "cap") if ended_by == "cap" else ended_by
            self.add("tenuto_forced_ends_total", **name, reason=forced_by)
            if forced_by == "landing":
                self.add("tenuto_landings_total", **name)

    def _times(self, report: Mapping[str, Any], seconds: float, name: dict[str, str]) -> None:
        ends, thinks = report["ended_by"] != "length", report["tokens"] > 0
        for series, counts in {
            "tenuto_time_to_first_thinking_token_seconds": thinks,
            "tenuto_time_to_first_answer_token_seconds": ends,
            "tenuto_thinking_duration_seconds": thinks and ends,
            "tenuto_answer_duration_seconds": ends,
        }.items():
            if counts:
                self.seconds[key(series, **name)] += seconds
                self.observed[key(series, **name)].append(0.0)  # the server's clock alone knows it


def _requested(report: Mapping[str, Any]) -> dict[str, int]:
    """The bounds above 0 that a request has set, and a cap of 0."""
    by_request = {name for name, by in report["set_by"].items() if by != "default"}
    bounds = {name: report[name] for name in (CAP, "min_thinking_tokens") if name in by_request}
    return {name: value for name, value in bounds.items() if value or (name == CAP and value is not None)}
