"""Curves with their spread, drawn as SVG: the same bytes for the same figures."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from .benchmark import Plot

MARKERS = "os^Dv<>P"
#: More values than these are not all named on the axis.
NAMED_VALUES = 10


def write_plot(plot: Plot, path: Path) -> None:
    """Write an SVG; neither the date nor anything drawn by chance stands in it."""
    with rc_context({"svg.hashsalt": "tenuto", "svg.fonttype": "path"}):
        figure = draw(plot)
        FigureCanvasSVG(figure)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def draw(plot: Plot) -> Figure:
    """One line for each curve through the medians; bars go from the lowest to the highest.

    A logarithmic x axis that has to show 0 is linear below the smallest other value.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (label, points) in enumerate(plot.curves.items()):
        below = [spread.median - spread.lowest for _, spread in points]
        above = [spread.highest - spread.median for _, spread in points]
        axes.errorbar(
            [x for x, _ in points],
            [spread.median for _, spread in points],
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
    if len(values) <= NAMED_VALUES:
        axes.xaxis.set_major_locator(FixedLocator(values))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    if plot.log_y:
        axes.set_yscale("log")
    else:
        lowest = min((spread.lowest for points in plot.curves.values() for _, spread in points), default=0.0)
        axes.set_ylim(bottom=0.0 if lowest >= 0 else None)
    axes.set(xlabel=plot.x, ylabel=plot.y, title=plot.title)
    axes.grid(alpha=0.3)
    if len(plot.curves) > 1:
        axes.legend(fontsize=9)
    return figure
