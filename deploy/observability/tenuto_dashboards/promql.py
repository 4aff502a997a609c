"""Small expressions from which those of the panels are put together.

Ranges are Grafana's: `rate` looks at the last moments of each point in time, `increase` at all of the time selected.
A percentile or a ratio without traffic is no sample, never NaN: then a panel shows its text for no value.
"""

from collections.abc import Callable

from .exported import exported

INSTANCE = ("job", "instance")


def select(name: str, *matchers: str, whole_server: bool = False) -> str:
    """A selector limited to the job, the instance and, for a series that has one, the model that are selected.

    Args:
        name: of a series that a server exports; KeyError for any other.
        matchers: more of them, such as `reason="cap"`.
        whole_server: take all models of the server.
    """
    labels = [label for label in ("job", "instance", "model_name") if label in exported()[name]]
    if whole_server:
        labels = [label for label in labels if label != "model_name"]
    limits = [f'{label}=~"${label}"' for label in labels]
    return f"{name}{{{', '.join([*limits, *matchers])}}}"


def rate(name: str, *matchers: str) -> str:
    return f"rate({select(name, *matchers)}[$__rate_interval])"


def increase(name: str, *matchers: str, whole_server: bool = False) -> str:
    return f"increase({select(name, *matchers, whole_server=whole_server)}[$__range])"


#: `rate` or `increase`: what an expression looks at.
Function = Callable[..., str]


def total(expr: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) ({expr})" if by else f"sum({expr})"


def count(expr: str) -> str:
    """An increase is extrapolated to the edges of its range: of a count, that gives fractions."""
    return f"round({expr})"


def ratio(part: str, whole: str) -> str:
    return f"{part} / ({whole} > 0)"


def share(part: str, whole: str) -> str:
    """A ratio of counters: 0 where only `part` has no series, because it has never counted anything."""
    return ratio(f"({part} or {whole} * 0)", whole)


def quantile(q: float, histogram: str, *by: str, function: Function = rate) -> str:
    """A percentile of a histogram."""
    return f"histogram_quantile({q}, {total(function(f'{histogram}_bucket'), 'le', *by)}) >= 0"


def mean(histogram: str, *by: str, function: Function = rate) -> str:
    return ratio(total(function(f"{histogram}_sum"), *by), total(function(f"{histogram}_count"), *by))
