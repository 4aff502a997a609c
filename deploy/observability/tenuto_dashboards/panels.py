"""Panels: each function makes one kind, with what all of ours have in common.

Every panel has a title, a unit of Grafana's list, and a description that ends with the names of the series it shows,
which are read from its expressions. Its width is set when it is put in a row.
"""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import bargauge, common, heatmap, prometheus, statetimeline, timeseries, trend
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
    background: bool = False,
) -> model.Panel:
    """Large numbers, at the end of the time selected. `values` has (value, text, colour) of each that is a state."""
    builder = (
        stats.Panel()
        .graph_mode(options.BigValueGraphMode.NONE)
        .color_mode(options.BigValueColorMode.BACKGROUND if background else options.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    return _finished(builder, title, unit, about, queries, steps, empty, values, decimals, instant=True)


def lines(
    title: str,
    unit: str,
    about: str,
    *queries: Query,
    empty: str = NO_TRAFFIC,
    stacked: bool = False,
    top: float | None = None,
) -> model.Panel:
    """Values over time, as lines or as areas on top of each other; `top` is the largest value there can be."""
    builder = (
        timeseries.Panel()
        .legend(
            common.VizLegendOptions().show_legend(True).placement(options.LegendPlacement.BOTTOM).calcs(["lastNotNull"])
        )
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI))
        .fill_opacity(40 if stacked else 8)
        .show_points(options.VisibilityMode.AUTO)
        .min(0)
    )
    if stacked:
        builder.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))
    if top is not None:
        builder.max(top)
    return _finished(builder, title, unit, about, queries, empty=empty)


def heat(title: str, unit: str, about: str, query: str) -> model.Panel:
    """How many values of a histogram are in each bucket, over time; `unit` is that of the bounds."""
    builder = (
        heatmap.Panel()
        .calculate(False)
        .color(_Colors("Oranges"))
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(options.AxisPlacement.LEFT))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .cell_gap(1)
        .show_legend()
    )
    return _finished(builder, title, unit, about, [(query, "{{le}}")], format_=PromQueryFormat.HEATMAP)


def curve(title: str, unit: str, about: str, query: str, over: str) -> model.Panel:
    """One line per model over the values of the label `over`, which are numbers, at the end of the time selected."""
    key = f"{over}\\model_name"
    builder = (
        trend.Panel()
        .x_field(key)
        .show_points(options.VisibilityMode.ALWAYS)
        .legend(common.VizLegendOptions().show_legend(True).placement(options.LegendPlacement.BOTTOM))
        .min(0)
        .transformations(
            [
                _transformation("groupingToMatrix", columnField="model_name", rowField=over, valueField="Value"),
                _transformation("convertFieldType", conversions=[{"targetField": key, "destinationType": "number"}]),
                _transformation("sortBy", sort=[{"field": key, "desc": False}]),
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
