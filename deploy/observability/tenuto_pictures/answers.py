"""What a board asks Prometheus and what it answers, in the form that the page draws."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tenuto_dashboards.expressions import Board, defaults, substitute

LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")
#: A variable in a title.
VARIABLE = re.compile(r"\$(\w+)")
#: The bound of the last bucket.
LARGEST = "+Inf"


class Series(Protocol):
    """One series of an answer: its labels, and (Unix time, value) pairs."""

    @property
    def labels(self) -> Mapping[str, str]: ...

    @property
    def points(self) -> Sequence[tuple[float, float]]: ...


class Source(Protocol):
    """A Prometheus that answers queries."""

    def query(self, expr: str, at: float | None = None) -> Sequence[Series]: ...

    def query_range(self, expr: str, start: float, end: float, step: float) -> Sequence[Series]: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What is selected at the top of a board.

    Attributes:
        start, end: Unix times in seconds.
        step: between two points, in seconds.
        rate: range of rates, in seconds.
        variables: of the board, where they differ from its defaults.
    """

    start: int
    end: int
    step: int
    rate: int
    variables: Mapping[str, str]

    def promql(self, board: Board, expr: str) -> str:
        # Only `$__rate_interval` is longer than a step.
        long = expr.replace("$__rate_interval", f"{self.rate}s")
        return substitute(long, self.values(board), interval=self.step, seconds=self.end - self.start)

    def values(self, board: Board) -> dict[str, str]:
        """Of all variables of a board."""
        return {**defaults(board), **self.variables}


def drawing(board: Board, source: Source, chosen: Selection) -> dict[str, Any]:
    """Title, selection and panels of a board, with their data."""
    return {
        "title": board["title"],
        "selection": _selection(board, chosen),
        "panels": [_panel(board, panel, source, chosen) for panel in board["panels"]],
    }


def _selection(board: Board, chosen: Selection) -> str:
    hidden = {"datasource", "job", "instance", "model_name"}
    variables = [variable for variable in board["templating"]["list"] if variable["name"] not in hidden]
    values = chosen.values(board)
    shown = [f"{variable['label']}: {values[variable['name']].removesuffix('.0')}" for variable in variables]
    minutes = f"{(chosen.end - chosen.start) / 60:.1f} minutes of traffic, rates over {chosen.rate} s, UTC"
    return " · ".join([board["description"].split(". ")[0].rstrip("."), minutes, *shown])


def _panel(board: Board, panel: Mapping[str, Any], source: Source, chosen: Selection) -> dict[str, Any]:
    title = VARIABLE.sub(lambda match: chosen.values(board)[match[1]].removesuffix(".0"), panel["title"])
    drawn = {"type": panel["type"], "title": title, "place": panel["gridPos"]}
    if panel["type"] == "row":
        return drawn
    series = [each for target in panel["targets"] for each in _series(board, target, source, chosen)]
    return (
        drawn | _look(panel) | {"start": chosen.start, "end": chosen.end, "step": chosen.step} | _shaped(panel, series)
    )


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


def _series(board: Board, target: Mapping[str, Any], source: Source, chosen: Selection) -> Iterator[_Named]:
    promql = chosen.promql(board, target["expr"])
    if target.get("instant"):
        found = source.query(promql, chosen.end)
    else:
        found = source.query_range(promql, chosen.start, chosen.end, chosen.step)
    for one in sorted(found, key=lambda each: sorted(each.labels.items())):
        points = [(at, value) for at, value in one.points if math.isfinite(value)]
        if points:
            yield _Named(legend(target["legendFormat"], one.labels), one.labels, points)


def legend(form: str, labels: Mapping[str, str]) -> str:
    """The name of a series in a panel."""
    return LABEL.sub(lambda match: labels.get(match[1], ""), form).strip()


def _look(panel: Mapping[str, Any]) -> dict[str, Any]:
    field, options = panel["fieldConfig"]["defaults"], panel["options"]
    steps = field.get("thresholds", {}).get("steps", [])
    mappings = [mapping["options"] for mapping in field.get("mappings", []) if mapping["type"] == "value"]
    return {
        "unit": field["unit"],
        "decimals": field.get("decimals"),
        "max": field.get("max"),
        "empty": field.get("noValue", "No data"),
        "bars": field.get("custom", {}).get("drawStyle") == "bars",
        "stacked": field.get("custom", {}).get("stacking", {}).get("mode") == "normal",
        "filled": options.get("colorMode", "").startswith("background"),
        "legendValues": bool(options.get("legend", {}).get("calcs")),
        "thresholds": [{"from": step["value"], "color": step["color"]} for step in steps],
        "states": [{"value": float(value), **look} for states in mappings for value, look in states.items()],
    }


def _shaped(panel: Mapping[str, Any], series: Sequence[_Named]) -> dict[str, Any]:
    """The series as the page draws them: rows of a heatmap, bars for each bound, or as they are."""
    if panel["type"] == "heatmap":
        return {"series": _rows(series, panel["options"]["yAxis"]["unit"])}
    if panel["type"] == "barchart":
        return {"series": _by_bound(series, panel["options"]["xField"].partition("\\")[0])}
    groups = list(dict.fromkeys(one.labels.get("model_name", "") for one in series))
    return {
        "series": [{"name": one.name, "points": one.points} for one in series],
        "groups": [groups.index(one.labels.get("model_name", "")) for one in series],
    }


def _rows(series: Sequence[_Named], unit: str) -> list[dict[str, Any]]:
    """Buckets without those below them, smallest first, from the first to the last that holds anything."""
    ordered = sorted(series, key=lambda one: float(one.labels["le"]))
    rows, below = [], dict[float, float]()
    for one in ordered:
        upper = dict(one.points)
        rows.append([(at, max(0.0, value - below.get(at, 0.0))) for at, value in upper.items()])
        below = upper
    filled = [index for index, row in enumerate(rows) if any(value > 1e-9 for _, value in row)]
    named = [{"name": _bound(one.labels["le"], unit), "points": row} for one, row in zip(ordered, rows, strict=True)]
    return named[filled[0] : filled[-1] + 1] if filled else []


def _bound(le: str, unit: str) -> str:
    if le == LARGEST:
        return "more"
    value = float(le)
    shown = {"percentunit": f"{value * 100:g}%", "s": f"{value:g} s"}.get(unit, f"{value:g}")
    return f"≤ {shown}"


def _by_bound(series: Sequence[_Named], over: str) -> list[dict[str, Any]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for one in series:
        found.setdefault(one.name, []).append((float(one.labels[over]), one.points[-1][1]))
    return [{"name": name, "points": sorted(points)} for name, points in found.items()]
