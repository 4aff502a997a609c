"""What a service promises: how many requests succeed, and how many tokens come in time."""

from grafana_foundation_sdk.builders.dashboard import QueryVariable

from .board import query_variable
from .promql import Function, increase, ratio, select, share, total

FIRST_THINKING = "tenuto_time_to_first_thinking_token_seconds"
FIRST_ANSWER = "tenuto_time_to_first_answer_token_seconds"


def bounds() -> tuple[QueryVariable, ...]:
    """Variables for the time limits. They are bounds of the histograms: only there the share within is exact."""
    return (
        _bound("slo_first_thinking", "First thinking token within (s)", FIRST_THINKING, "2.5"),
        _bound("slo_first_answer", "First answer token within (s)", FIRST_ANSWER, "30.0"),
    )


def _bound(name: str, label: str, histogram: str, default: str) -> QueryVariable:
    buckets = select(f"{histogram}_bucket", 'le!="+Inf"')
    return query_variable(name, label, f"label_values({buckets}, le)", default)


def within(histogram: str, variable: str, *by: str) -> str:
    """The share of values up to the selected bound, in the time selected; of models that have this bound."""
    part = total(increase(f"{histogram}_bucket", f'le="${variable}"'), *by)
    return ratio(part, total(increase(f"{histogram}_count"), *by))


def succeeded(*by: str, function: Function = increase) -> str:
    """The share of requests that ended well, of those that name a served model.

    And that the server accepted and whose clients stayed: neither a wrong request nor a disconnect is a failure.
    """
    well, ended = (
        total(function("tenuto_requests_total", 'model_name!=""', f'outcome=~"{outcomes}"'), *by)
        for outcomes in ("ok", "ok|error|cut")
    )
    return share(well, ended)
