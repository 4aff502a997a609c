"""All series that this server exports in addition to vLLM's, as data: no metric is created here.

Dashboards, alert rules and `docs/metrics.md` are checked against this table, so it imports nothing of the engine.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
#: How the bounds of a histogram are chosen: vLLM's families of buckets, of which `--custom-histogram-buckets` replaces
#: any; `ratio` is in steps of 0.1, `waits` counts from 0.
Buckets = Literal["request_tokens", "time_to_first_token", "request_latency", "ratio", "waits"]

#: Labels that a scrape adds to every series.
TARGET_LABELS = ("job", "instance")


@dataclass(frozen=True, slots=True)
class Series:
    """One metric.

    Attributes:
        name: as it is exposed, so a counter's ends in `_total`; a histogram has `_bucket`, `_sum` and `_count`.
        labels: all bounded: by the served models, the endpoints of the server, or the values that `meaning` names.
        meaning: what it counts or measures, and the values of its labels.
        unit: of its values; empty for a count of things.
        buckets: of a histogram.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    unit: Literal["", "tokens", "seconds", "ratio"] = ""
    buckets: Buckets | None = None


def _counter(name: str, labels: tuple[str, ...], meaning: str, unit: Literal["", "tokens"] = "") -> Series:
    return Series(name, "counter", labels, meaning, unit)


def _gauge(name: str, labels: tuple[str, ...], meaning: str, unit: Literal["", "tokens"] = "") -> Series:
    return Series(name, "gauge", labels, meaning, unit)


def _histogram(
    name: str, buckets: Buckets, meaning: str, unit: Literal["", "tokens", "seconds", "ratio"], *labels: str
) -> Series:
    return Series(name, "histogram", ("model_name", *labels), meaning, unit, buckets)


SERIES = (
    # Requests
    _counter(
        "tenuto_requests_total",
        ("model_name", "endpoint", "outcome"),
        "Requests by outcome (ok, invalid, unauthorized, rejected, cancelled, cut, error); each counts once. The model "
        "is empty where the request names none that is served.",
    ),
    _counter(
        "tenuto_rejected_requests_total",
        ("endpoint", "reason"),
        "Requests that were refused before generation, by reason (loading, draining, engine_dead, full, unauthorized, "
        "unknown_model, budget, too_large, too_slow, unsupported_encoding, invalid).",
    ),
    _counter(
        "tenuto_cancelled_requests_total",
        ("model_name", "phase"),
        "Requests whose client disconnected, by phase (body, waiting, thinking, answer; whole for a reply that is not "
        "streamed).",
    ),
    _counter(
        "tenuto_stream_errors_total",
        ("model_name", "endpoint"),
        "Streams that ended in an error event after status 200.",
    ),
    # Tokens
    _counter("tenuto_thinking_tokens_total", ("model_name",), "Generated thinking tokens, as they come.", "tokens"),
    _counter(
        "tenuto_answer_tokens_total",
        ("model_name",),
        "Other generated tokens, markers included, as they come.",
        "tokens",
    ),
    _histogram(
        "tenuto_choice_thinking_tokens",
        "request_tokens",
        "Thinking tokens of each finished choice, by the request's reasoning effort (none where it has no effort: "
        "unset).",
        "tokens",
        "effort",
    ),
    _histogram(
        "tenuto_choice_answer_tokens",
        "request_tokens",
        "Other tokens of each finished choice, markers included.",
        "tokens",
    ),
    _counter(
        "tenuto_thinking_tokens_beyond_total",
        ("model_name", "threshold"),
        "Thinking tokens of finished choices beyond the first `threshold`: what a cap of that size would have cut. The "
        "thresholds are the bounds of tenuto_choice_thinking_tokens.",
        "tokens",
    ),
    # Budgets
    _histogram(
        "tenuto_requested_max_thinking_tokens",
        "request_tokens",
        "Caps that requests set, for each finished choice; an effort counts, a default does not.",
        "tokens",
    ),
    _histogram(
        "tenuto_requested_min_thinking_tokens",
        "request_tokens",
        "Floors above 0 that requests set, for each finished choice.",
        "tokens",
    ),
    _histogram(
        "tenuto_budget_used_ratio",
        "ratio",
        "Thinking tokens by the cap in force, of each finished choice that has a cap above 0.",
        "ratio",
    ),
    _histogram("tenuto_choice_waits", "waits", "Waits of each finished choice.", ""),
    _counter("tenuto_waits_total", ("model_name",), "Attempts to stop that were replaced by the wait text."),
    _counter(
        "tenuto_thinking_endings_total",
        ("model_name", "reason"),
        "Choices by why their thinking ended (model, cap, loop, stop_token, length, none; cancelled or error for those "
        "that were still thinking then).",
    ),
    _counter(
        "tenuto_forced_ends_total",
        ("model_name", "reason"),
        "Choices whose thinking the server ended, by reason (cap, landing, loop, stop_token, answer_now).",
    ),
    _counter(
        "tenuto_landings_total",
        ("model_name",),
        "Choices whose thinking ended at a sentence or line end before the cap.",
    ),
    _counter(
        "tenuto_empty_answers_total",
        ("model_name", "reason"),
        "Finished choices without an answer, by reason (length: the token limit was reached while thinking; stopped: "
        "the reply ended after its thinking).",
    ),
    _counter(
        "tenuto_steering_actions_total",
        ("model_name", "action", "outcome"),
        "Steering of running choices, by action (answer_now, think_on) and outcome (applied, late, refused).",
    ),
    # Times, from the arrival of the request
    _histogram(
        "tenuto_time_to_first_thinking_token_seconds",
        "time_to_first_token",
        "Time from the arrival of the request to a choice's first thinking token.",
        "seconds",
    ),
    _histogram(
        "tenuto_time_to_first_answer_token_seconds",
        "request_latency",
        "Time from the arrival of the request to a choice's first token after thinking.",
        "seconds",
    ),
    _histogram(
        "tenuto_thinking_duration_seconds",
        "request_latency",
        "Time from a choice's first thinking token to the first token after it.",
        "seconds",
    ),
    _histogram(
        "tenuto_answer_duration_seconds",
        "request_latency",
        "Time from a choice's first answer token to its last.",
        "seconds",
    ),
    # What is going on now
    _gauge(
        "tenuto_running_choices",
        ("model_name", "phase"),
        "Choices in the engine, by phase (before thinking, which includes the queue; thinking; answer).",
    ),
    _gauge(
        "tenuto_remaining_thinking_tokens",
        ("model_name",),
        "Thinking tokens that running choices may still generate: what their caps leave, or their token limits where "
        "they have no cap.",
        "tokens",
    ),
    _gauge(
        "tenuto_server_stage",
        ("stage",),
        "1 for the stage that the server is in (loading, ready, draining, failed), 0 for the others.",
    ),
    _gauge("tenuto_sequences", (), "Slots taken, by sequences that run or wait."),
    _gauge("tenuto_sequences_capacity", (), "Number of slots."),
)

BY_NAME = {series.name: series for series in SERIES}


def exposed_names(series: Series) -> tuple[str, ...]:
    """The names under which a metric can be queried."""
    if series.kind == "histogram":
        return tuple(f"{series.name}{suffix}" for suffix in ("_bucket", "_sum", "_count"))
    return (series.name,)
