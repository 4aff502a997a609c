"""Markdown and plots from saved results: tables in `benchmarks/results/`, targets and plots in `docs/`."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from .benchmark import Report
from .plots import write_plot
from .results import Record

Row = Sequence[str]

#: The part of docs/benchmarks.md between these lines is generated; everything else is written by hand.
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
TARGETS_HEAD = ("claim", "measured (95 % interval)", "verdict", "command")
ORIGINS_HEAD = ("benchmark", "measured on", "versions", "machine")


def write_tables(record: Record, report: Report, folder: Path) -> None:
    """Write `folder/NAME.md`."""
    facts = "; ".join(f"{name}: {fact}" for name, fact in record.machine.items())
    parts = [
        f"# Benchmark `{record.benchmark}`: tables",
        f"Written by `make bench ARGS={record.benchmark}`. [docs/benchmarks.md](../../docs/benchmarks.md) describes "
        "the method. In parentheses: 95 % confidence intervals.",
        f"Measured on {record.date} UTC in {record.seconds / 60:.0f} minutes. {facts}.",
    ]
    for each in report.tables:
        parts += [f"{each.caption}:", table(each.head, each.rows)]
    (folder / f"{record.benchmark}.md").write_text("\n\n".join(parts) + "\n")


def write_plots(reports: Mapping[str, Report], folder: Path) -> None:
    """Write all plots, and remove those that no report has any more."""
    plots = {f"{plot.name}.svg": plot for report in reports.values() for plot in report.plots}
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in plots.items():
        write_plot(plot, folder / name)
    for path in folder.glob("*.svg"):
        if path.name not in plots:
            path.unlink()


def with_figures(page: str, records: Mapping[str, Record], reports: Mapping[str, Report]) -> str:
    """The page with the part between the markers written again."""
    parts = [
        BEGIN,
        table(TARGETS_HEAD, target_rows(reports)),
        table(ORIGINS_HEAD, list(_origins(records.values()))),
        END,
    ]
    return re.sub(f"{BEGIN}.*{END}", lambda _: "\n\n".join(parts), page, flags=re.DOTALL)


def target_rows(reports: Mapping[str, Report]) -> list[Row]:
    return [
        (target.claim, target.measured, target.verdict, f"`make bench ARGS={name}`")
        for name, report in reports.items()
        for target in report.targets
    ]


def table(head: Row, rows: Sequence[Row]) -> str:
    """In Markdown, columns of figures aligned to the right."""
    columns = zip(*rows, strict=True) if rows else [[""]] * len(head)
    rule = ["---:" if all(map(_is_figure, column)) else "---" for column in columns]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (head, rule, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def _is_figure(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] in "+-"


def _origins(records: Iterable[Record]) -> Iterator[Row]:
    for record in records:
        machine = record.machine
        where = f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}"
        versions = f"{machine['tenuto']}, vLLM {machine['vllm']}, Python {machine['python']}"
        yield record.benchmark, record.date[:10], versions, where
