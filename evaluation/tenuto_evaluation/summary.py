"""What one run, and one sweep of runs, come to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from tenuto_evaluation.errors import ServerFailed
from tenuto_evaluation.methods import Method
from tenuto_evaluation.metrics import Bounds, Point, control, performance, scaling, wilson_interval
from tenuto_evaluation.runner import Record


@dataclass(frozen=True)
class Summary:
    """One run. Accuracy and means are over the problems that were answered; `failed` counts those that were not."""

    method: Method
    answered: int
    failed: int
    correct: int
    mean_thinking_tokens: float
    mean_waits: float
    ended_by: dict[str, float]

    @property
    def accuracy(self) -> float:
        return self.correct / self.answered

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, Wilson."""
        return wilson_interval(self.correct, self.answered)

    @property
    def point(self) -> Point:
        return Point(self.mean_thinking_tokens, self.accuracy)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "accuracy": self.accuracy, "interval": self.interval}


def summarise(method: Method, records: Sequence[Record]) -> Summary:
    """Raises ServerFailed where no problem was answered."""
    answers = [record.answer for record in records if record.answer]
    if not answers:
        raise ServerFailed(f"not one request was answered; the first: {records[0].failure}")
    endings = Counter(answer.ended_by for answer in answers)
    return Summary(
        method=method,
        answered=len(answers),
        failed=len(records) - len(answers),
        correct=sum(answer.correct for answer in answers),
        mean_thinking_tokens=fmean(answer.thinking_tokens for answer in answers),
        mean_waits=fmean(answer.waits for answer in answers),
        ended_by={name: count / len(answers) for name, count in endings.most_common()},
    )


@dataclass(frozen=True)
class SweepMetrics:
    """The paper's metrics over the runs of a sweep: shares of 1, and percentage points per doubling."""

    control: float
    scaling: float | None
    performance: float


def sweep_metrics(summaries: Sequence[Summary]) -> SweepMetrics:
    points = [summary.point for summary in summaries]
    limits = [summary.method.limit for summary in summaries]
    bounds = [Bounds() if limit is None else Bounds(upper=limit) for limit in limits]
    return SweepMetrics(control([point.tokens for point in points], bounds), scaling(points), performance(points))


def best(summaries: Sequence[Summary]) -> Summary:
    """The most accurate run; among equals the one that thinks least."""
    return max(summaries, key=lambda summary: (summary.accuracy, -summary.mean_thinking_tokens))
