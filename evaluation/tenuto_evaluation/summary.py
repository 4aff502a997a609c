"""Summarises the results of a run, and the runs of a sweep."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from tenuto_evaluation.errors import ServerFailed
from tenuto_evaluation.methods import Method
from tenuto_evaluation.runner import ProblemResult
from tenuto_evaluation.scaling_metrics import Point, TokenRange, control, performance, scaling, wilson_interval


@dataclass(frozen=True)
class Summary:
    """The summary of one run. Accuracy and means are over the answered problems; `failed` counts the others."""

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
        """The 95 % interval of the accuracy (Wilson)."""
        return wilson_interval(self.correct, self.answered)

    @property
    def point(self) -> Point:
        return Point(self.mean_thinking_tokens, self.accuracy)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "accuracy": self.accuracy, "interval": self.interval}


def summarise(method: Method, results: Sequence[ProblemResult]) -> Summary:
    """Summarise one run. Raises ServerFailed if no problem was answered."""
    answers = [result.answer for result in results if result.answer]
    if not answers:
        raise ServerFailed(f"every request failed; the first: {results[0].failure}")
    endings = Counter(answer.ended_by for answer in answers)
    return Summary(
        method=method,
        answered=len(answers),
        failed=len(results) - len(answers),
        correct=sum(answer.correct for answer in answers),
        mean_thinking_tokens=fmean(answer.thinking_tokens for answer in answers),
        mean_waits=fmean(answer.waits for answer in answers),
        ended_by={name: count / len(answers) for name, count in endings.most_common()},
    )


@dataclass(frozen=True)
class SweepMetrics:
    """The paper's metrics over the runs of a sweep: fractions, and percentage points per doubling for `scaling`."""

    control: float
    scaling: float | None
    performance: float


def sweep_metrics(summaries: Sequence[Summary]) -> SweepMetrics:
    points = [summary.point for summary in summaries]
    limits = [summary.method.limit for summary in summaries]
    ranges = [TokenRange() if limit is None else TokenRange(upper=limit) for limit in limits]
    return SweepMetrics(control([point.tokens for point in points], ranges), scaling(points), performance(points))


def most_accurate(summaries: Sequence[Summary]) -> Summary:
    """Return the most accurate run; of several, the one that thinks least."""
    return max(summaries, key=lambda summary: (summary.accuracy, -summary.mean_thinking_tokens))
