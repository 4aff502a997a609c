"""What the pages show is what the repository has."""

import re
from pathlib import Path

import pytest

from tenuto_testing import models_page

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
