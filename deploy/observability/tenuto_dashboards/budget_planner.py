"""Budget planner: what a cap of X thinking tokens would have changed, had it been in force in the time selected."""

from grafana_foundation_sdk.builders.dashboard import CustomVariable, QueryVariable
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel, VariableOption

from .board import Line, Row, build, query_variable
from .charts import percentiles
from .objectives import within
from .panels import BY_MODEL, by_bound, lines, stat
from .promql import increase, rate, ratio, select, share, total

TOKENS = "tenuto_choice_thinking_tokens"
BEYOND = "tenuto_thinking_tokens_beyond_total"
CAP = 'threshold="$cap"'
#: Seconds in which an engine ran requests, counted in steps of the time selected.
BUSY_SECONDS = "sum_over_time(({running} > bool 0)[$__range:$__interval]) * $__interval_ms / 1000"


def board() -> Dashboard:
    return build(
        "tenuto-budget-planner",
        "Tenuto: Budget planner",
        "What a cap on thinking would have cut and saved in the time selected. It takes thinking as it was: a model "
        "that knows of a cap, or answers early, may need fewer tokens.",
        [
            Row("A cap of $cap thinking tokens", [Line(5, _effect()), Line(8, _over_time())]),
            Row("All caps", [Line(10, _all_caps())]),
            Row("Budgets in use", [Line(8, _in_use())]),
        ],
        variables=_variables(),
        since="now-24h",
    )


def _variables() -> tuple[QueryVariable, CustomVariable]:
    gpus = CustomVariable("gpus_per_engine").label("GPUs per engine").values("1,2,4,8,16")
    return (
        query_variable("cap", "Cap (tokens)", f"label_values({select(BEYOND)}, threshold)", "1000.0"),
        gpus.current(VariableOption(True, "1", "1")),
    )


def _effect() -> list[Panel]:
    saved, spent = total(increase(BEYOND, CAP), "model_name"), total(increase(f"{TOKENS}_sum"), "model_name")
    over = "That thought for more than the cap, of those finished. Of models whose histograms have this bound."
    cut = f"1 - {within(TOKENS, 'cap', 'model_name')}"
    return [
        stat("Choices cut", "percentunit", over, (cut, BY_MODEL)),
        stat("Tokens saved", "short", "Thinking tokens beyond the cap.", (f"round({saved})", BY_MODEL)),
        stat(
            "Share saved", "percentunit", "Of the thinking tokens of finished choices.", (share(saved, spent), BY_MODEL)
        ),
        stat(
            "GPU-seconds saved",
            "short",
            "Tokens saved * GPUs per engine * seconds in which the engine ran requests / tokens that it generated. "
            "Computed for each instance, then added up.",
            (_gpu_seconds(), BY_MODEL),
            decimals=0,
        ),
    ]


def _gpu_seconds() -> str:
    running = select("vllm:num_requests_running", whole_server=True)
    busy = total(BUSY_SECONDS.format(running=running), "job", "instance")
    generated = total(increase("vllm:generation_tokens_total", whole_server=True), "job", "instance")
    saved = total(increase(BEYOND, CAP), "job", "instance", "model_name")
    per_token = f"($gpus_per_engine * {busy} / ({generated} > 0))"
    return total(f"{saved} * on (job, instance) group_left () {per_token}", "model_name")


def _over_time() -> list[Panel]:
    within_cap = total(rate(f"{TOKENS}_bucket", 'le="$cap"'), "model_name")
    kept = ratio(within_cap, total(rate(f"{TOKENS}_count"), "model_name"))
    saved = total(rate(BEYOND, CAP), "model_name")
    return [
        lines("Choices cut over time", "percentunit", "Of those finished.", (f"1 - {kept}", BY_MODEL), top=1),
        lines("Tokens saved per second", "short", "Thinking tokens beyond the cap.", (saved, BY_MODEL)),
    ]


def _all_caps() -> list[Panel]:
    reached = total(increase(f"{TOKENS}_bucket", 'le!="+Inf"'), "model_name", "le")
    cut = f"clamp_min(1 - {_of_model(reached, f'{TOKENS}_count')}, 0)"
    saved = _of_model(total(increase(BEYOND), "model_name", "threshold"), f"{TOKENS}_sum")
    return [
        by_bound(
            "Choices cut, by cap", "percentunit", "That thought for more than each cap, of those finished.", cut, "le"
        ),
        by_bound(
            "Share of thinking tokens saved, by cap", "percentunit", "Beyond each cap, of all.", saved, "threshold"
        ),
    ]


def _of_model(part: str, whole: str) -> str:
    return f"{part} / on (model_name) group_left () ({total(increase(whole), 'model_name')} > 0)"


def _in_use() -> list[Panel]:
    by_cap, ended = (
        total(rate("tenuto_thinking_endings_total", *only), "model_name") for only in (['reason="cap"'], [])
    )
    caps = "tenuto_requested_max_thinking_tokens"
    return [
        percentiles(
            "Caps that requests set", "short", "Of the finished choices whose requests set one.", caps, 0.5, 0.95
        ),
        percentiles("Thinking tokens", "short", "Of each finished choice.", TOKENS),
        lines("Ended by a cap", "percentunit", "Of all choices.", (share(by_cap, ended), BY_MODEL), top=1),
    ]
