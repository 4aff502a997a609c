"""Panels: each function makes one kind, with what all of ours have in common.

Every panel has a title, a unit of Grafana's list, and a description that ends with the names of the series it shows,
which are read from its expressions. Its width is set when it is put in a row.
"""

from collections.abc import Sequence
from typing import Literal

from grafana_foundation_sdk.builders import barchart, bargauge, common, heatmap, prometheus, statetimeline, timeseries
from grafana_foundation_sdk.builders import stat as stats
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorOptions
from grafana_foundation_sdk.models.prometheus import Dataquery, PromQueryFormat

from .expressions import names

#: What a query asks, and the legend of its series.
Query = tuple[str, str]
#: From which value on, in which colour; the first has no lower limit.
Steps = Sequence[tuple[float | None, str]]

DATA_SOURCE = model.DataSourceRef("prometheus", "${datasource}")
NO_TRAFFIC, NONE, NO_SERVER = "No traffic", "None", "No server"
BY_MODEL = "{{model_name}}"
Style = Literal["lines", "areas", "bars"]


def legend(*labels: str) -> str:
    """The values of labels, one after the other."""
    return " ".join(f"{{{{{label}}}}}" for label in labels)


def good_above(fair: float, good: float) -> Steps:
    return (None, "red"), (fair, "orange"), (good, "green")


def good_below(fair: float, bad: float) -> Steps:
    return (None, "green"), (fair, "orange"), (bad, "red")


def stat(
    title: str,
    unit: str,
    about: str,
    *queries: Query,
    steps: Steps = ((None, "text"),),
    empty: str = NO_TRAFFIC,
    values: Sequence[tuple[int, str, str]] = (),
    decimals: int | None = None,
    large: bool = False,
) -> model.Panel:
    """A number per series, at the end of the time selected.

    Args:
        values: (value, text, colour) of each that is a state.
        large: for a tile that is read from a distance: coloured as a whole, with the names of the series.
    """
    builder = (
        stats.Panel()
        .graph_mode(options.BigValueGraphMode.NONE)
        .color_mode(options.BigValueColorMode.BACKGROUND_SOLID if large else options.BigValueColorMode.VALUE)
        .text_mode(options.BigValueTextMode.VALUE_AND_NAME if large else options.BigValueTextMode.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    return _finished(builder, title, unit, about, queries, steps, empty, values, decimals, instant=True)


def lines(
    title: str,
    unit: str,
    about: str,
    *queries: Query,
    empty: str = NO_TRAFFIC,
    style: Style = "lines",
    top: float | None = None,
) -> model.Panel:
    """Values over time. Areas and bars are put on top of each other; `top` is the largest value there can be."""
    builder = (
        timeseries.Panel()
        .legend(_legend().calcs(["lastNotNull"]))
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI))
        .draw_style(options.GraphDrawStyle.BARS if style == "bars" else options.GraphDrawStyle.LINE)
        .fill_opacity({"lines": 8, "areas": 40, "bars": 80}[style])
        .show_points(options.VisibilityMode.AUTO)
        .min(0)
    )
    if style != "lines":
        builder.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))
    if top is not None:
        builder.max(top)
    return _finished(builder, title, unit, about, queries, empty=empty)


def _legend() -> common.VizLegendOptions:
    return common.VizLegendOptions().show_legend(True).placement(options.LegendPlacement.BOTTOM)


def heat(title: str, unit: str, about: str, query: str) -> model.Panel:
    """How many values of a histogram are in each bucket, over time; `unit` is that of the bounds."""
    builder = (
        heatmap.Panel()
        .calculate(False)
        .color(_Colors("Oranges"))
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(options.AxisPlacement.LEFT))
        .rows_frame(heatmap.RowsHeatmapOptions().layout(options.HeatmapCellLayout.LE))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .cell_gap(1)
        .show_legend()
    )
    return _finished(builder, title, unit, about, [(query, "{{le}}")], format_=PromQueryFormat.HEATMAP)


def by_bound(title: str, unit: str, about: str, query: str, label: str) -> model.Panel:
    """One group of bars for each value of a label that has numbers, smallest first, with one bar per model.

    A table of the models is made of the series. Text sorts 10 before 2, but only text gives bars equal distances.
    """
    key = f"{label}\\model_name"
    builder = (
        barchart.Panel()
        .x_field(key)
        .legend(_legend())
        .show_value(options.VisibilityMode.NEVER)
        .min(0)
        .max(1)
        .transformations(
            [
                _transformation("groupingToMatrix", columnField="model_name", rowField=label, valueField="Value"),
                _converted(key, "number"),
                _transformation("sortBy", sort=[{"field": key, "desc": False}]),
                _converted(key, "string"),
            ]
        )
    )
    return _finished(builder, title, unit, about, [(query, BY_MODEL)], instant=True, format_=PromQueryFormat.TABLE)


def bars(title: str, unit: str, about: str, *queries: Query, empty: str = NO_TRAFFIC) -> model.Panel:
    """One horizontal bar per series, at the end of the time selected."""
    builder = (
        bargauge.Panel()
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .min(0)
    )
    return _finished(builder, title, unit, about, queries, empty=empty, instant=True)


def states(title: str, about: str, query: Query, values: Sequence[tuple[int, str, str]], empty: str) -> model.Panel:
    """Which state each series was in, over time."""
    builder = statetimeline.Panel().row_height(0.8).show_value(options.VisibilityMode.AUTO).merge_values(True)
    return _finished(builder, title, "short", about, [query], empty=empty, values=values)


class _Colors(Builder[HeatmapColorOptions]):
    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    def build(self) -> HeatmapColorOptions:
        return HeatmapColorOptions(HeatmapColorMode.SCHEME, self._scheme, "dark-orange", exponent=0.5, steps=64)


def _transformation(name: str, **settings: object) -> model.DataTransformerConfig:
    return model.DataTransformerConfig(name, options=settings)


def _converted(field: str, kind: str) -> model.DataTransformerConfig:
    return _transformation("convertFieldType", fields={}, conversions=[{"targetField": field, "destinationType": kind}])


def _finished(
    builder: Builder[model.Panel],
    title: str,
    unit: str,
    about: str,
    queries: Sequence[Query],
    steps: Steps = (),
    empty: str = NO_TRAFFIC,
    values: Sequence[tuple[int, str, str]] = (),
    decimals: int | None = None,
    *,
    instant: bool = False,
    format_: PromQueryFormat = PromQueryFormat.TIME_SERIES,
) -> model.Panel:
    panel = builder.build()
    shown = dict.fromkeys(name for expr, _ in queries for name in names(expr))
    panel.title, panel.description = title, f"{about} Metrics: {', '.join(shown)}"
    panel.datasource = DATA_SOURCE
    panel.targets = [
        _target(expr, legend, chr(ord("A") + number), instant, format_) for number, (expr, legend) in enumerate(queries)
    ]
    panel.field_config = panel.field_config or model.FieldConfigSource()
    panel.field_config.defaults = panel.field_config.defaults or model.FieldConfig()
    field = panel.field_config.defaults
    field.unit, field.no_value, field.decimals = unit, empty, decimals
    if steps:
        thresholds = [model.Threshold(value, color) for value, color in steps]
        field.thresholds = model.ThresholdsConfig(model.ThresholdsMode.ABSOLUTE, thresholds)
        field.color = model.FieldColor(model.FieldColorModeId.THRESHOLDS)
    if values:
        results = {str(value): model.ValueMappingResult(text, color) for value, text, color in values}
        field.mappings = [model.ValueMap(results)]
    return panel


def _target(expr: str, legend: str, ref: str, instant: bool, format_: PromQueryFormat) -> Dataquery:
    query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(ref).format(format_).datasource(DATA_SOURCE)
    return (query.instant() if instant else query.range()).build()
