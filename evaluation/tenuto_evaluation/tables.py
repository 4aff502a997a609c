"""Formats tables for a terminal and for Markdown."""

from collections.abc import Sequence

from tenuto_evaluation.summary import Summary, SweepMetrics

Row = Sequence[str]


def header(first: str) -> Row:
    return (first, "accuracy", "95 % interval", "mean thinking tokens", "mean waits", "ended by")


def row(summary: Summary) -> Row:
    low, high = summary.interval
    endings = ", ".join(f"{name} {share:.0%}" for name, share in summary.ended_by.items())
    failures = f" ({summary.failed} failed)" if summary.failed else ""
    return (
        summary.method.label,
        f"{summary.accuracy:.3f}",
        f"{low:.3f} - {high:.3f}",
        f"{summary.mean_thinking_tokens:.1f}",
        f"{summary.mean_waits:.2f}",
        endings + failures,
    )


def plain(head: Row, rows: Sequence[Row]) -> str:
    """Align columns with spaces: the last column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Row) -> str:
        *numbers, last = zip(cells, widths, strict=True)
        return "  ".join([*(cell.rjust(width) for cell, width in numbers), last[0]])

    return "\n".join([line(head), "  ".join("-" * width for width in widths), *map(line, rows)])


def markdown(head: Row, rows: Sequence[Row]) -> str:
    rule = ["---:"] * (len(head) - 1) + [":---"]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows])


def metrics_line(metrics: SweepMetrics) -> str:
    slope = "undefined" if metrics.scaling is None else f"{metrics.scaling:+.1f} points per doubling"
    return f"Control {metrics.control:.0%}, Scaling {slope}, Performance {metrics.performance:.1%}"
