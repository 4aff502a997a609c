"""What the pages show is what the repository has."""

import re
from pathlib import Path

import promql_parser
import pytest

from tenuto_server.metrics.definitions import SERIES, exposed_names
from tenuto_testing import metrics_page, models_page

ROOT = Path(__file__).resolve().parent.parent
OFFLINE_BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/offline.md").read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("block", "name"), list(zip(OFFLINE_BLOCKS, ["offline_vllm.py", "offline_transformers.py"], strict=True))
)
def test_the_code_of_the_offline_page_is_an_example_that_tests_run(block: str, name: str) -> None:
    docstring, _, code = (ROOT / "examples" / name).read_text().partition("\n\n")
    assert docstring.startswith('"""')
    assert code == block


def test_every_sub_package_has_its_line_in_the_architecture_page() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    packages = ("decoding/*", "server/*", "clients/python/*", "training/*", "evaluation/*")
    rooms = [path.parent.name for pattern in packages for path in ROOT.glob(f"{pattern}/*/__init__.py")]
    assert len(rooms) > 5
    assert [room for room in rooms if f"`{room}" not in text and f".{room}`" not in text] == []


def test_the_tables_of_the_models_page_are_those_of_the_tests() -> None:
    """`python -m tenuto_testing.models_page` writes them."""
    text = models_page.PAGE.read_text()
    assert models_page.page(text) == text
    assert models_page.models() in text
    assert models_page.families() in text


def test_the_tables_of_the_metrics_page_are_made_of_the_table_of_series() -> None:
    """`make metrics-page` writes them."""
    text = metrics_page.PAGE.read_text()
    assert metrics_page.page(text) == text
    assert all(table in text for table in metrics_page.tables().values())
    assert all(f"`{series.name}`" in text for series in SERIES)


@pytest.mark.parametrize("expression", re.findall(r"```promql\n(.*?)\n```", metrics_page.PAGE.read_text(), re.DOTALL))
def test_the_expressions_of_the_metrics_page_name_what_is_exported(expression: str) -> None:
    promql_parser.parse(expression)
    exported = {name for series in SERIES for name in exposed_names(series)}
    assert set(re.findall(r"tenuto_\w+", expression)) <= exported
