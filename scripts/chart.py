"""Write the table of values into the chart's README, from the schema's descriptions and the defaults.

    python -m scripts.chart [--check]

With --check nothing is written, and the exit status is 1 if the table is not up to date.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent.parent / "deploy/helm/tenuto"
README = FOLDER / "README.md"
BEGIN, END = "<!-- values: written by make chart -->", "<!-- end of values -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if the table is not up to date")
    is_check = parser.parse_args().check
    text = README.read_text()
    current = page(text)
    if current == text:
        return 0
    if is_check:
        print(f"{README}: the table of values is not up to date; `make chart` writes it", file=sys.stderr)
        return 1
    README.write_text(current)
    return 0


def page(text: str) -> str:
    """The README with a current table."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


def table() -> str:
    schema = json.loads((FOLDER / "values.schema.json").read_text())
    defaults = yaml.safe_load((FOLDER / "values.yaml").read_text())
    lines = ["| value | default | |", "| --- | --- | --- |"]
    return "\n".join([*lines, *_rows(schema, defaults, "")])


def _rows(schema: dict[str, Any], defaults: dict[str, Any], prefix: str) -> Iterator[str]:
    """A row for each value, in the order of the defaults; a group's own row introduces it."""
    for name, default in defaults.items():
        described = schema["properties"][name]
        if "properties" in described:
            yield f"| **`{prefix}{name}`** | | {_cell(described)} |"
            yield from _rows(described, default, f"{prefix}{name}.")
        else:
            yield f"| `{prefix}{name}` | {_default(default)} | {_cell(described)} |"


def _cell(described: dict[str, Any]) -> str:
    choices = described.get("enum")
    text: str = described["description"].replace("|", "\\|")
    return text + (f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else "")


def _default(value: Any) -> str:
    return "" if value in ("", [], {}) else f"`{json.dumps(value)}`"


if __name__ == "__main__":
    sys.exit(main())
