"""Curves with their intervals as SVG: equal figures give equal bytes."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from .benchmark import Plot

MARKERS = "os^Dv<>P"
#: With more x values than this, the axis does not label each.
LABELED_VALUES = 10


def write_plot(plot: Plot, path: Path) -> None:
    """Write an SVG without a date and without random ids."""
    with rc_context({"svg.hashsalt": "tenuto", "svg.fonttype": "path"}):
        figure = draw(plot)
        FigureCanvasSVG(figure)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def draw(plot: Plot) -> Figure:
    """One line through the values of each curve; bars show the intervals.

    A logarithmic x axis that has to show 0 is linear below the smallest other value.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (label, points) in enumerate(plot.curves.items()):
        below = [estimate.value - estimate.least for _, estimate in points]
        above = [estimate.most - estimate.value for _, estimate in points]
        axes.errorbar(
            [x for x, _ in points],
            [estimate.value for _, estimate in points],
            yerr=(below, above),
            label=label,
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            capsize=3,
            linewidth=1.2,
        )
    values = sorted({x for points in plot.curves.values() for x, _ in points})
    if plot.log_x and values[0] > 0:
        axes.set_xscale("log", base=2)
    elif plot.log_x:
        axes.set_xscale("symlog", base=2, linthresh=min((x for x in values if x > 0), default=1.0))
    if len(values) <= LABELED_VALUES:
        axes.xaxis.set_major_locator(FixedLocator(values))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    if plot.log_y:
        axes.set_yscale("log")
    else:
        least = min((estimate.least for points in plot.curves.values() for _, estimate in points), default=0.0)
        axes.set_ylim(bottom=0.0 if least >= 0 else None)
    axes.set(xlabel=plot.x, ylabel=plot.y, title=plot.title)
    axes.grid(alpha=0.3)
    if len(plot.curves) > 1:
        axes.legend(fontsize=9)
    return figure
