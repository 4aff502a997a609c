"""The page on the client names its whole public API, and its code is valid."""

import re
from pathlib import Path

import tenuto

PAGE = (Path(__file__).resolve().parents[2] / "docs/python-client.md").read_text()


def test_the_page_names_every_public_name_and_method() -> None:
    methods = [name for name in vars(tenuto.Client) if not name.startswith("_")]
    names = [name for name in [*tenuto.__all__, *methods] if not name.startswith("_")]
    assert [name for name in names if not re.search(rf"\b{name}\b", PAGE)] == []


def test_the_code_of_the_page_compiles() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        compile(block, "docs/python-client.md", "exec")
