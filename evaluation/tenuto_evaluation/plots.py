"""Plots accuracy against mean thinking tokens, as in the paper's Figure 1."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, PercentFormatter, ScalarFormatter

from tenuto_evaluation.methods import Sweep
from tenuto_evaluation.summary import Summary


def plot_accuracy(sweep: Sweep, summaries: Sequence[Summary], path: Path) -> None:
    """Write the plot as a PNG."""
    draw(sweep, summaries).savefig(path, dpi=150)


def draw(sweep: Sweep, summaries: Sequence[Summary]) -> Figure:
    """Draw one labelled point for each run, with its 95 % interval.

    The x axis is logarithmic to base 2. If a run did not think at all, it is linear below the smallest other value.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    tokens = [summary.mean_thinking_tokens for summary in summaries]
    accuracies = [summary.accuracy for summary in summaries]
    errors = [
        [accuracy - low, high - accuracy]
        for accuracy, (low, high) in zip(accuracies, [summary.interval for summary in summaries], strict=True)
    ]
    axes.errorbar(tokens, accuracies, yerr=list(zip(*errors, strict=True)), marker="o", capsize=3, linewidth=1.2)
    for (x, y), labels in label_positions(summaries).items():
        text = f"{sweep.column} {', '.join(labels)}"
        axes.annotate(text, (x, y), xytext=(4, 3), textcoords="offset points", ha="right", fontsize=9)
    if min(tokens) > 0:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(LogLocator(base=2, subs=(1.0, 1.5)))
    else:
        axes.set_xscale("symlog", base=2, linthresh=min((value for value in tokens if value), default=1.0))
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0))
    axes.set(xlabel="mean thinking tokens", ylabel="accuracy", ylim=(0, 1), title=sweep.title)
    axes.grid(alpha=0.3)
    return figure


def label_positions(summaries: Sequence[Summary]) -> dict[tuple[float, float], list[str]]:
    """Return the labels at each position: the upper end of the interval, away from the curve.

    Runs with the same result share a position, for example those whose cap is never reached.
    """
    labels: dict[tuple[float, float], list[str]] = {}
    for summary in summaries:
        position = (round(summary.mean_thinking_tokens), round(summary.interval[1], 2))
        labels.setdefault(position, []).append(summary.method.label)
    return labels
