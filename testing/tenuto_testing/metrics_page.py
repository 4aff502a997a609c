"""The tables of `docs/metrics.md`, from the table of series. `make metrics-page` writes them into the page."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tenuto_server.metrics.definitions import SERIES, SERVER_LABELS, Series, Values

PAGE = Path(__file__).resolve().parents[2] / "docs/metrics.md"
#: The sections of the page: for each, the first of its series.
_SECTIONS = {
    "requests": "tenuto_requests_total",
    "tokens": "tenuto_thinking_tokens_total",
    "budgets": "tenuto_requested_max_thinking_tokens",
    "times": "tenuto_time_to_first_thinking_token_seconds",
    "what is going on now": "tenuto_running_choices",
}


def tables() -> dict[str, str]:
    """What stands in each section of the page."""
    found: dict[str, list[Series]] = {}
    begins = {first: title for title, first in _SECTIONS.items()}
    title = ""
    for series in SERIES:
        title = begins.get(series.name, title)
        found.setdefault(title, []).append(series)
    return {title: _section(own) for title, own in found.items()} | {"labels": _values_table("label", SERVER_LABELS)}


def page(text: str) -> str:
    """The page with its tables as they have to be."""
    for name, table in tables().items():
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{start}{table}{end}{after}"
    return text


def _section(group: list[Series]) -> str:
    """A table of the series, and one for each of their labels whose values are fixed."""
    parts = [_table(("series", "kind", "labels", "meaning"), map(_row, group))]
    for series in group:
        for label, values in series.values.items():
            parts.append(f"`{label}` of `{series.name}`:\n\n{_values_table(label, values)}")
    return "\n".join(parts)


def _row(series: Series) -> tuple[str, ...]:
    kind = series.kind if not series.unit else f"{series.kind}, {series.unit}"
    return f"`{series.name}`", kind, _codes(series.labels), series.meaning


def _values_table(label: str, values: Values) -> str:
    """A row for each meaning, with all values that have it."""
    rows = (
        (_codes(value for value, other in values.items() if other == meaning), meaning)
        for meaning in dict.fromkeys(values.values())
    )
    return _table((f"`{label}`", "meaning"), rows)


def _codes(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
