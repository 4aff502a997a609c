"""Thinking: how long models think, why they stop, and what budgets do about it."""

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from .board import Line, Row, build
from .charts import distribution, events, means, per_second, percentiles
from .panels import BY_MODEL, bars, good_below, lines, stat
from .promql import Function, count, increase, mean, quantile, rate, ratio, share, total

TOKENS = "tenuto_choice_thinking_tokens"
ENDINGS = "tenuto_thinking_endings_total"


def board() -> Dashboard:
    return build(
        "tenuto-thinking",
        "Tenuto: Thinking",
        "How long models think, why their thinking ends, what budgets change, and what is left for answers.",
        [
            Row("In the time selected", [Line(4, _lengths()), Line(4, _interventions())]),
            Row("Length of thinking", [Line(9, _heatmaps()), Line(8, _over_time())]),
            Row("How thinking ends", [Line(8, _endings()), Line(8, _effects())]),
            Row("Budgets", [Line(8, _budgets()), Line(8, _requested())]),
            Row("Waits and steering", [Line(8, _waits())]),
            Row("Tokens and time", [Line(8, _tokens()), Line(8, _times())]),
        ],
    )


def _lengths() -> list[Panel]:
    half, high = (quantile(q, TOKENS, "model_name", function=increase) for q in (0.5, 0.95))
    used = quantile(0.5, "tenuto_budget_used_ratio", "model_name", function=increase)
    return [
        stat("Thinking tokens, median", "short", "Of each finished choice.", (half, BY_MODEL), decimals=0),
        stat("Thinking tokens, p95", "short", "Of each finished choice.", (high, BY_MODEL), decimals=0),
        stat(
            "Thinking share of tokens", "percentunit", "Of all generated tokens.", (_of_all_tokens(increase), BY_MODEL)
        ),
        stat("Budget used, median", "percentunit", "Thinking tokens by the cap in force.", (used, BY_MODEL)),
    ]


def _interventions() -> list[Panel]:
    waits = mean("tenuto_choice_waits", "model_name", function=increase)
    forced, landed = (_of_thinking(name, increase) for name in ("tenuto_forced_ends_total", "tenuto_landings_total"))
    empty = _of_finished("tenuto_empty_answers_total", increase)
    return [
        stat("Forced ends", "percentunit", "The server ended the thinking.", (forced, BY_MODEL), decimals=1),
        stat(
            "Landings", "percentunit", "Ended at a sentence or line end before the cap.", (landed, BY_MODEL), decimals=1
        ),
        stat("Waits per choice", "short", "Attempts to stop that became waits.", (waits, BY_MODEL), decimals=2),
        stat(
            "Empty answers",
            "percentunit",
            "Finished choices without an answer.",
            (empty, BY_MODEL),
            steps=good_below(0.001, 0.01),
            decimals=2,
        ),
    ]


def _of_all_tokens(function: Function) -> str:
    thinking, answer = (total(function(f"tenuto_{kind}_tokens_total"), "model_name") for kind in ("thinking", "answer"))
    return share(thinking, f"({thinking} + {answer})")


def _of_thinking(counter: str, function: Function) -> str:
    """A counter's share of the choices that thought."""
    return share(total(function(counter), "model_name"), total(function(ENDINGS, 'reason!="none"'), "model_name"))


def _of_finished(counter: str, function: Function) -> str:
    return share(total(function(counter), "model_name"), total(function(f"{TOKENS}_count"), "model_name"))


def _heatmaps() -> list[Panel]:
    about = "Finished choices per second, by"
    return [
        distribution("Thinking tokens", "short", f"{about} their thinking tokens.", TOKENS),
        distribution("Answer tokens", "short", f"{about} their other tokens.", "tenuto_choice_answer_tokens"),
    ]


def _over_time() -> list[Panel]:
    efforts = quantile(0.5, TOKENS, "model_name", "effort", function=increase)
    about = "Median of the choices finished in the time selected, by the effort that their requests set."
    return [
        percentiles("Thinking tokens by model", "short", "Of each finished choice.", TOKENS),
        means("Mean thinking tokens by effort", "short", "Of each finished choice.", TOKENS, "model_name", "effort"),
        bars("Thinking tokens by effort", "short", about, (efforts, "{{model_name}} {{effort}}")),
    ]


def _endings() -> list[Panel]:
    by_reason = total(increase(ENDINGS), "model_name", "reason")
    about = "Choices by why their thinking ended"
    return [
        per_second("Endings by reason", "cps", f"{about}, per second.", ENDINGS, "model_name", "reason"),
        bars(
            "Endings in the time selected",
            "short",
            f"{about}.",
            (f"{count(by_reason)} > 0", "{{model_name}} {{reason}}"),
        ),
    ]


def _effects() -> list[Panel]:
    forced = [
        (_of_thinking(f"tenuto_{name}_total", rate), f"{BY_MODEL} {name}") for name in ("forced_ends", "landings")
    ]
    return [
        lines("Forced ends and landings", "percentunit", "Of the choices that thought.", *forced),
        _events("Forced ends by reason", "whose thinking the server ended", "tenuto_forced_ends_total", "reason"),
        _events("Empty answers by reason", "that finished without one", "tenuto_empty_answers_total", "reason"),
    ]


def _events(title: str, which: str, counter: str, *by: str) -> Panel:
    return events(title, "cps", f"Choices per second {which}.", counter, "model_name", *by)


def _budgets() -> list[Panel]:
    used = "tenuto_budget_used_ratio"
    about = "Thinking tokens by the cap in force, of each finished choice that has one."
    capped = _of_finished("tenuto_requested_max_thinking_tokens_count", rate)
    floored = _of_finished("tenuto_requested_min_thinking_tokens_count", rate)
    return [
        distribution("Budget used", "percentunit", f"{about} Choices per second.", used),
        percentiles("Budget used, percentiles", "percentunit", about, used, 0.5, 0.95),
        lines(
            "Choices with a cap or a floor",
            "percentunit",
            "Whose requests set one, of all finished choices.",
            (capped, f"{BY_MODEL} cap"),
            (floored, f"{BY_MODEL} floor"),
            top=1,
        ),
    ]


def _requested() -> list[Panel]:
    caps, floors = (f"tenuto_requested_{bound}_thinking_tokens" for bound in ("max", "min"))
    return [
        percentiles("Requested caps", "short", "Of the finished choices whose requests set one.", caps, 0.5, 0.95),
        percentiles("Requested floors", "short", "Of the finished choices whose requests set one.", floors, 0.5, 0.95),
    ]


def _waits() -> list[Panel]:
    steering = "tenuto_steering_actions_total"
    at_most_none = total(rate("tenuto_choice_waits_bucket", 'le="0.0"'), "model_name")
    without = ratio(at_most_none, total(rate("tenuto_choice_waits_count"), "model_name"))
    return [
        per_second(
            "Waits", "cps", "Attempts to stop that became waits, per second.", "tenuto_waits_total", "model_name"
        ),
        lines("Choices with waits", "percentunit", "Of all finished choices.", (f"1 - {without}", BY_MODEL), top=1),
        _events("Steering", "whose budget was changed while they ran", steering, "action", "outcome"),
    ]


def _tokens() -> list[Panel]:
    both = [
        (total(rate(f"tenuto_{kind}_tokens_total"), "model_name"), f"{BY_MODEL} {kind}")
        for kind in ("thinking", "answer")
    ]
    return [
        lines("Generated tokens per second", "short", "Thinking and other tokens, as they come.", *both, style="areas"),
        lines(
            "Thinking share of tokens over time",
            "percentunit",
            "Of all generated.",
            (_of_all_tokens(rate), BY_MODEL),
            top=1,
        ),
    ]


def _times() -> list[Panel]:
    first = "tenuto_time_to_first_answer_token_seconds"
    return [
        percentiles("Time to first answer token", "s", "From the arrival of the request, thinking included.", first),
        percentiles("Time of thinking", "s", "From the first thinking token on.", "tenuto_thinking_duration_seconds"),
        percentiles(
            "Time of answering", "s", "From the first answer token to the last.", "tenuto_answer_duration_seconds"
        ),
    ]
