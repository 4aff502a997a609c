"""The table of alerts in `docs/dashboards.md`. `python -m tenuto_testing.alerts_page` writes it into the page."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/dashboards.md"
RULES = ROOT / "deploy/observability/prometheus/alerts.rules.yml"
BEGIN, END = "<!-- alerts -->\n", "<!-- end of alerts -->"


def table() -> str:
    """A row for each alert, in the order of the file."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return "\n".join(
        ["| alert | severity | fires after | condition |", "| --- | --- | --- | --- |"]
        + [_row(rule) for group in groups for rule in group["rules"]]
        + [""]
    )


def page(text: str) -> str:
    """The page with its table as it has to be."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}{table()}{end}{after}"


def _row(rule: dict[str, Any]) -> str:
    name, severity, condition = rule["alert"], rule["labels"]["severity"], " ".join(rule["expr"].split())
    return f"| [{name}](runbook.md#{name.lower()}) | {severity} | {rule.get('for', 'at once')} | `{condition}` |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
