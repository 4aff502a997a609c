"""Overview: how much the service serves, how soon, what fails, and what limits it."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from .board import Line, Row, build
from .charts import distribution, events, per_second, percentiles
from .objectives import FIRST_ANSWER, FIRST_THINKING, bounds, succeeded, within
from .panels import BY_MODEL, NO_SERVER, good_above, lines, stat
from .promql import count, increase, mean, quantile, rate, select, share, total

BY_INSTANCE = "{{model_name}} {{instance}}"


def board() -> Dashboard:
    return build(
        "tenuto-overview",
        "Tenuto: Overview",
        "Traffic, errors, time to the first thinking token and to the first answer token, saturation and caches.",
        [
            Row("At a glance", [Line(4, _traffic_now()), Line(4, _objectives())]),
            Row("Traffic", [Line(8, _traffic())]),
            Row("Errors", [Line(8, _errors())]),
            Row("Latency", [Line(8, _first_tokens()), Line(8, _durations())]),
            Row("Saturation", [Line(8, _work()), Line(8, _room())]),
            Row("Caches", [Line(8, _caches())]),
        ],
        variables=bounds(),
    )


def _traffic_now() -> list[Panel]:
    ready = total(select("tenuto_server_stage", 'stage="ready"'))
    requests = total(rate("tenuto_requests_total"))
    thinking, answer = (total(rate(f"tenuto_{kind}_tokens_total")) for kind in ("thinking", "answer"))
    running = total(select("tenuto_running_choices"))
    counted = count(total(increase("tenuto_requests_total")))
    return [
        stat("Servers ready", "short", "Servers that accept requests now.", (ready, ""), empty=NO_SERVER),
        stat("Requests", "short", "Requests in the time selected, whatever their outcome.", (counted, "")),
        stat("Requests per second", "reqps", "Requests per second now.", (requests, ""), decimals=2),
        stat("Running choices", "short", "Choices in the engine and its queue now.", (running, ""), empty=NO_SERVER),
        stat("Thinking tokens per second", "short", "Generated now, per second.", (thinking, ""), decimals=0),
        stat("Answer tokens per second", "short", "Other tokens generated now, per second.", (answer, ""), decimals=0),
    ]


def _objectives() -> list[Panel]:
    thinking, answer = (
        quantile(0.95, name, "model_name", function=increase) for name in (FIRST_THINKING, FIRST_ANSWER)
    )
    rejected = share(
        total(increase("tenuto_requests_total", 'outcome="rejected"')), total(increase("tenuto_requests_total"))
    )
    return [
        _objective(
            "Success rate", "Requests that ended well, of those accepted.", succeeded("model_name"), 0.99, 0.999
        ),
        _objective(
            "First thinking token in time",
            "Choices whose first thinking token came within the limit selected above.",
            within(FIRST_THINKING, "slo_first_thinking", "model_name"),
        ),
        _objective(
            "First answer token in time",
            "Choices whose first answer token came within the limit selected above.",
            within(FIRST_ANSWER, "slo_first_answer", "model_name"),
        ),
        stat("First thinking token, p95", "s", "Time from the arrival of the request.", (thinking, BY_MODEL)),
        stat(
            "First answer token, p95",
            "s",
            "Time from the arrival of the request, thinking included.",
            (answer, BY_MODEL),
        ),
        stat(
            "Rejected", "percentunit", "Requests that were refused with status 503, of all.", (rejected, ""), decimals=1
        ),
    ]


def _objective(title: str, about: str, query: str, fair: float = 0.9, good: float = 0.95) -> Panel:
    about = f"{about} In the time selected; green from {good:.1%} on."
    return stat(title, "percentunit", about, (query, BY_MODEL), steps=good_above(fair, good), decimals=2)


def _traffic() -> list[Panel]:
    tokens = [
        (total(rate(f"tenuto_{kind}_tokens_total"), "model_name"), f"{BY_MODEL} {kind}")
        for kind in ("thinking", "answer")
    ]
    prompts = (total(rate("vllm:prompt_tokens_total"), "model_name"), f"{BY_MODEL} prompt")
    return [
        per_second("Requests by outcome", "reqps", "Requests per second.", "tenuto_requests_total", "outcome"),
        per_second("Requests by endpoint", "reqps", "Requests per second.", "tenuto_requests_total", "endpoint"),
        per_second(
            "Responses by status", "reqps", "Responses of the HTTP layer per second.", "http_requests_total", "status"
        ),
        lines("Tokens per second", "short", "Tokens of prompts, and generated ones.", *tokens, prompts),
    ]


def _errors() -> list[Panel]:
    failed = f"1 - {succeeded('model_name', function=rate)}"
    refused = "Requests per second that were refused before generation."
    gone = "Requests per second whose clients disconnected."
    broken = "Streams per second that ended in an error event, after status 200."
    return [
        lines(
            "Failed requests",
            "percentunit",
            "Requests that ended in an error of the server (error) or were ended by it (cut), of those accepted.",
            (failed, BY_MODEL),
        ),
        events("Rejections by reason", "reqps", refused, "tenuto_rejected_requests_total", "reason"),
        events("Disconnects by phase", "reqps", gone, "tenuto_cancelled_requests_total", "model_name", "phase"),
        events("Stream errors", "reqps", broken, "tenuto_stream_errors_total", "model_name", "endpoint"),
    ]


def _first_tokens() -> list[Panel]:
    since = "Time from the arrival of the request, queue and prompt processing included"
    return [
        percentiles("Time to first thinking token", "s", f"{since}.", FIRST_THINKING),
        percentiles("Time to first answer token", "s", f"{since}, and all thinking.", FIRST_ANSWER),
        distribution(
            "First answer tokens by time", "s", f"{since}, and all thinking; choices per second.", FIRST_ANSWER
        ),
    ]


def _durations() -> list[Panel]:
    phases = ("vllm:request_queue_time_seconds", "queue"), ("vllm:request_prefill_time_seconds", "prompt")
    spans = ("tenuto_thinking_duration_seconds", "thinking"), ("tenuto_answer_duration_seconds", "answer")
    parts = [(mean(histogram, "model_name"), f"{BY_MODEL} {name}") for histogram, name in (*phases, *spans)]
    return [
        lines("Mean time by phase", "s", "In the queue, for the prompt, thinking and answering.", *parts),
        percentiles(
            "Time between tokens", "s", "Of the engine, between tokens of a choice.", "vllm:inter_token_latency_seconds"
        ),
        percentiles(
            "Time in the queue", "s", "Of the engine, before a prompt is processed.", "vllm:request_queue_time_seconds"
        ),
    ]


def _work() -> list[Panel]:
    running = total(select("tenuto_running_choices"), "model_name", "phase")
    engine = [
        (total(select(f"vllm:num_requests_{state}"), "model_name", "instance"), f"{BY_INSTANCE} {state}")
        for state in ("running", "waiting")
    ]
    remaining = total(select("tenuto_remaining_thinking_tokens"), "model_name", "instance")
    about = "Choices in the engine: before thinking, its queue included, thinking, or answering."
    left = "Thinking tokens that running choices may still generate: the work that is left."
    return [
        lines(
            "Running choices by phase",
            "short",
            about,
            (running, "{{model_name}} {{phase}}"),
            empty=NO_SERVER,
            style="areas",
        ),
        lines("Requests in the engine", "short", "In its batch, and in its queue.", *engine, empty=NO_SERVER),
        lines("Remaining thinking tokens", "short", left, (remaining, BY_INSTANCE), empty=NO_SERVER),
    ]


def _room() -> list[Panel]:
    slots = share(total(select("tenuto_sequences"), "instance"), total(select("tenuto_sequences_capacity"), "instance"))
    cache = f"max by (model_name, instance) ({select('vllm:kv_cache_usage_perc')})"
    preempted = total(rate("vllm:num_preemptions_total"), "model_name", "instance")
    full = "Requests that come when all are taken are rejected."
    back = "Requests per second that lost their cache to others and begin again. Above 0, the cache is too small."
    return [
        lines("Slots taken", "percentunit", full, (slots, "{{instance}}"), empty=NO_SERVER, top=1),
        lines(
            "KV cache in use", "percentunit", "Of the engine's blocks.", (cache, BY_INSTANCE), empty=NO_SERVER, top=1
        ),
        lines("Preemptions", "reqps", back, (preempted, BY_INSTANCE), empty=NO_SERVER),
    ]


def _caches() -> list[Panel]:
    hits, queries = (
        total(rate(f"vllm:prefix_cache_{kind}_total"), "model_name", "instance") for kind in ("hits", "queries")
    )
    found = "Tokens of prompts that were in the cache, of those looked up."
    return [
        lines("Prefix cache hits", "percentunit", found, (share(hits, queries), BY_INSTANCE), top=1),
        per_second(
            "Prompt tokens by source",
            "short",
            "Tokens per second that were computed, or found in a cache.",
            "vllm:prompt_tokens_by_source_total",
            "model_name",
            "source",
        ),
    ]
