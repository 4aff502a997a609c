"""All series that this server exports in addition to vLLM's, as data: no metric is created here.

Dashboards, alert rules and `docs/metrics.md` are checked against this table, so it imports nothing of the engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
#: How the bounds of a histogram are chosen: vLLM's families of buckets, of which `--custom-histogram-buckets` replaces
#: any; `ratio` is in steps of 0.1, `waits` counts from 0.
Buckets = Literal["request_tokens", "time_to_first_token", "request_latency", "ratio", "waits"]
#: The values of a label, and what each means.
Values = Mapping[str, str]

#: Labels that a scrape adds to every series.
TARGET_LABELS = ("job", "instance")

#: Labels whose values depend on the server, and what they are. All are bounded.
SERVER_LABELS: Values = {
    "model_name": "the first served name of the model, which is vLLM's own label, or the name of a LoRA adapter; empty "
    "for requests that name none that is served, and for those that were refused before their body was read",
    "endpoint": "the path of an endpoint that generates, or `other`",
    "threshold": "a bound of tenuto_choice_thinking_tokens, as in its label `le`",
}

OUTCOMES: Values = {
    "ok": "the reply was sent to its last byte",
    "invalid": "400 and other 4xx: the request is wrong",
    "unauthorized": "401: no valid API key",
    "rejected": "503: the server is loading, shutting down or full, or its engine has died",
    "cancelled": "the client disconnected",
    "cut": "the server ended first, at the end of its drain",
    "error": "5xx, or an error event in a stream",
}
REFUSALS: Values = {
    "loading": "503: the model was still loading",
    "draining": "503: the server was shutting down",
    "engine_dead": "503: the engine had died",
    "full": "503: all slots were taken, or too many bodies were arriving at once",
    "unauthorized": "401: no valid API key",
    "unknown_model": "404: no model or adapter of that name",
    "budget": "400: a budget that is wrong, or that cannot be enforced in this request",
    "too_large": "413: the body is larger than `--max-body-bytes`",
    "too_slow": "408: the body did not arrive within `--body-timeout`",
    "unsupported_encoding": "415: the body is compressed in an unknown way",
    "invalid": "any other mistake in a request, unknown paths and late steering included",
}
CANCELLED_PHASES: Values = {
    "body": "its body had not arrived completely",
    "waiting": "a stream without a token yet",
    "thinking": "a stream of which a choice was thinking",
    "answer": "a stream whose choices had begun their answers",
    "whole": "a reply that is not streamed, at any time",
}
EFFORTS: Values = {
    **dict.fromkeys(("none", "minimal", "low", "medium", "high", "xhigh", "max"), "the request's `reasoning_effort`"),
    "unset": "the request names no effort",
}
ENDINGS: Values = {
    "model": "the model ended its thinking",
    "cap": "the cap did, a landing before it and `answer_now` included; also a cap of 0 on a model that always thinks",
    "loop": "thinking that repeated itself was ended (`loop_tokens`)",
    "stop_token": "the model ended its reply while thinking",
    "length": "the token limit ended the reply while it was thinking",
    "none": "there was no thinking",
    "cancelled": "the client disconnected, or the server cut the reply, before the answer began",
    "error": "the reply failed before the answer began",
}
FORCED: Values = {
    "cap": "at the cap itself",
    "landing": "at a sentence or line end shortly before the cap (`landing_tokens`)",
    "loop": "because it repeated itself (`loop_tokens`)",
    "stop_token": "the end of the reply became the end of thinking",
    "answer_now": "by a steering request",
}
EMPTY: Values = {
    "length": "the token limit was reached before the answer had any text",
    "stopped": "the reply ended on its own, with its thinking or right after it",
}
ACTIONS: Values = {
    "answer_now": "end the thinking now",
    "think_on": "a new floor (`think_until`)",
}
STEERED: Values = {
    "applied": "the bounds of the choice have changed",
    "late": "the choice had ended, or its thinking had",
    "refused": "the request was refused: a reply without a budget, or a floor that leaves no room for the answer",
    "pending": "sent to the engine, but the choice had no step for 10 s, as when it is queued",
}
RUNNING_PHASES: Values = {
    "before": "no token yet, or the start marker is being written; the queue is included",
    "thinking": "thinking, or the end marker is being written",
    "answer": "writing its answer",
}
STAGES: Values = {
    "loading": "the model is being loaded",
    "ready": "requests are accepted",
    "draining": "running replies finish, and new requests are refused",
    "failed": "the engine has died; for a second, until the server exits",
}


@dataclass(frozen=True, slots=True)
class Series:
    """One metric.

    Attributes:
        name: as it is exposed, so a counter's ends in `_total`; a histogram has `_bucket`, `_sum` and `_count`.
        labels: all bounded: by the served models, the endpoints of the server, or the values that `values` names.
        meaning: what it counts or measures.
        unit: of its values; empty for a count of things.
        buckets: of a histogram.
        values: the possible values of those labels that are not in SERVER_LABELS.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    unit: Literal["", "tokens", "seconds", "ratio"] = ""
    buckets: Buckets | None = None
    values: Mapping[str, Values] = field(default_factory=dict, compare=False)


def _counter(
    name: str, labels: tuple[str, ...], meaning: str, unit: Literal["", "tokens"] = "", **values: Values
) -> Series:
    return Series(name, "counter", labels, meaning, unit, values=values)


def _gauge(
    name: str, labels: tuple[str, ...], meaning: str, unit: Literal["", "tokens"] = "", **values: Values
) -> Series:
    return Series(name, "gauge", labels, meaning, unit, values=values)


def _histogram(
    name: str, buckets: Buckets, meaning: str, unit: Literal["", "tokens", "seconds", "ratio"], **values: Values
) -> Series:
    return Series(name, "histogram", ("model_name", *values), meaning, unit, buckets, values)


SERIES = (
    # Requests
    _counter(
        "tenuto_requests_total",
        ("model_name", "endpoint", "outcome"),
        "Requests that have ended, by outcome; each counts once. Probes and /metrics are not counted.",
        outcome=OUTCOMES,
    ),
    _counter(
        "tenuto_rejected_requests_total",
        ("endpoint", "reason"),
        "Requests that were refused before generation, by reason: those of the outcomes invalid, unauthorized and "
        "rejected.",
        reason=REFUSALS,
    ),
    _counter(
        "tenuto_cancelled_requests_total",
        ("model_name", "phase"),
        "Requests whose client disconnected, by how far they had got.",
        phase=CANCELLED_PHASES,
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
        "Thinking tokens of each finished choice, by the request's reasoning effort.",
        "tokens",
        effort=EFFORTS,
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
        "Floors above 0 that requests set, for each finished choice; an effort counts, a default does not.",
        "tokens",
    ),
    _histogram(
        "tenuto_budget_used_ratio",
        "ratio",
        "Thinking tokens by the cap in force at the end, of each finished choice whose cap is above 0; a default cap "
        "counts.",
        "ratio",
    ),
    _histogram("tenuto_choice_waits", "waits", "Waits of each finished choice.", ""),
    _counter("tenuto_waits_total", ("model_name",), "Attempts to stop that were replaced by the wait text."),
    _counter(
        "tenuto_thinking_endings_total",
        ("model_name", "reason"),
        "Choices that have ended, by why their thinking ended; of several blocks of thinking the last one counts.",
        reason=ENDINGS,
    ),
    _counter(
        "tenuto_forced_ends_total",
        ("model_name", "reason"),
        "Choices whose thinking the server ended, by reason.",
        reason=FORCED,
    ),
    _counter(
        "tenuto_landings_total",
        ("model_name",),
        "Choices whose thinking ended at a sentence or line end before the cap.",
    ),
    _counter(
        "tenuto_empty_answers_total",
        ("model_name", "reason"),
        "Finished choices whose answer has no text, by reason.",
        reason=EMPTY,
    ),
    _counter(
        "tenuto_steering_actions_total",
        ("model_name", "action", "outcome"),
        "Steering of running replies, for each of their choices, by action and outcome. A reply that is not running "
        "has no model and is not counted.",
        action=ACTIONS,
        outcome=STEERED,
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
        "Time from the arrival of the request to a choice's first token after the end marker of its first "
        "thinking; without thinking, to its first token.",
        "seconds",
    ),
    _histogram(
        "tenuto_thinking_duration_seconds",
        "request_latency",
        "Time from a choice's first thinking token to its first answer token: the first after the end marker.",
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
        "Choices that the engine runs or that wait there, by phase.",
        phase=RUNNING_PHASES,
    ),
    _gauge(
        "tenuto_remaining_thinking_tokens",
        ("model_name",),
        "Thinking tokens that running choices may still generate: what their caps leave, or their token limits where "
        "they have no cap; none where the answer has begun.",
        "tokens",
    ),
    _gauge(
        "tenuto_server_stage",
        ("stage",),
        "1 for the stage that the server is in, 0 for the others.",
        stage=STAGES,
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
