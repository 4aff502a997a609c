"""What the panels of a board ask Prometheus, with Grafana's variables put in.

for query in queries(json.load(open("overview.json"))):
    promql = substitute(query.expr, defaults(board), interval=60, seconds=3600)
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser

Board = Mapping[str, Any]

_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of a panel.

    Attributes:
        panel: the panel's title; unique within its row.
        type: of the panel, such as `stat`.
        unit: one of Grafana's.
        legend: names the series, with labels as `{{label}}`; `__auto` where a panel shows one row per series.
        instant: asked for the end of the time selected only, not for every step.
        format: `time_series`, `table` or `heatmap`.
    """

    panel: str
    type: str
    unit: str
    legend: str
    expr: str
    instant: bool
    format: str


def panels(board: Board) -> Iterator[Mapping[str, Any]]:
    """All panels that show data, in the order of the layout."""
    for panel in board["panels"]:
        yield from panel.get("panels", ()) if panel["type"] == "row" else (panel,)


def queries(board: Board) -> list[Query]:
    return [
        Query(
            panel["title"],
            panel["type"],
            panel["fieldConfig"]["defaults"]["unit"],
            target["legendFormat"],
            target["expr"],
            target.get("instant", False),
            target.get("format", "time_series"),
        )
        for panel in panels(board)
        for target in panel["targets"]
    ]


def defaults(board: Board) -> dict[str, str]:
    """The value of each variable before anyone selects one; `All` is the expression that matches all."""
    variables = board["templating"]["list"]
    return {each["name"]: each.get("allValue") or each.get("current", {}).get("value", "") for each in variables}


def substitute(expr: str, variables: Mapping[str, str], *, interval: int, seconds: int) -> str:
    """An expression as Grafana sends it.

    Args:
        expr: of a panel or of a query variable.
        variables: their values, for those that `expr` names; KeyError for one that is missing.
        interval: between two points, in seconds; also the range of rates, so a few scrapes of at least.
        seconds: length of the time selected.
    """
    known = {
        **variables,
        "__interval": f"{interval}s",
        "__rate_interval": f"{interval}s",
        "__interval_ms": str(interval * 1000),
        "__range": f"{seconds}s",
        "__range_s": str(seconds),
    }
    return _VARIABLE.sub(lambda match: known[match[1]], expr)


def selectors(expr: str) -> list[promql_parser.VectorSelector]:
    """All selectors of an expression without variables. ValueError if it is no PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found


def names(expr: str) -> list[str]:
    """The names of the series in an expression that may have variables, each once, in order."""
    anything = dict.fromkeys(_VARIABLE.findall(expr), "1")
    found = selectors(substitute(expr, anything, interval=60, seconds=3600))
    return list(dict.fromkeys(str(selector.name) for selector in found))
