"""Imports go one way: `server -> decoding`, `training -> decoding`, `evaluation -> client`, and never in a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "tenuto_decoding": ROOT / "decoding",
    "tenuto_server": ROOT / "server",
    "tenuto": ROOT / "clients/python",
    "tenuto_training": ROOT / "training",
    "tenuto_evaluation": ROOT / "evaluation",
}
MAY_IMPORT = {
    "tenuto_decoding": set[str](),
    "tenuto_server": {"tenuto_decoding"},
    "tenuto": set[str](),
    "tenuto_training": {"tenuto_decoding"},
    "tenuto_evaluation": {"tenuto"},
}
# What each sub-package and root module of the server may import of the others. `app` puts everything together.
BASE = {"errors", "paths", "metrics", "context", "state", "error_response"}
ROOMS: dict[str, set[str]] = {
    "launcher": {"api", "app", "budgets", "config", "engine", "middleware", "reasoning", *BASE},
    "app": {"api", "middleware", "config", *BASE},
    "api": {"budgets", "engine", "reasoning", *BASE},
    "middleware": {"engine", "config", *BASE},
    "engine": {"budgets", "context", "errors"},
    "config": {"budgets", "paths", "errors"},
    "budgets": {"errors"},
    "reasoning": set(),
    "state": {"errors", "metrics"},
    "error_response": {"errors", "paths"},
    "paths": set(),
    "context": set(),
    "errors": set(),
    "metrics": set(),
    "cli": set(),
}
# What a package must never import, so that it loads where the engine is not installed.
ENGINE = {"vllm", "torch", "transformers", "triton"}
PURE = {
    "actions",
    "automaton",
    "budget",
    "errors",
    "gpu.layout",
    "loops",
    "markers",
    "plan",
    "prompt",
    "vocabulary",
    "worker_messages",
}


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    """(dotted name, syntax tree) of every module of a package."""
    base = PACKAGES[package]
    for path in sorted((base / package).rglob("*.py")):
        name = ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text(), str(path))


def imported(name: str, tree: ast.AST) -> set[str]:
    """Dotted names that the tree imports, at any depth; relative imports are resolved against `name`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*name.split(".")[: -node.level], *([base] if base else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


ALL = {name: imported(name, tree) for package in PACKAGES for name, tree in modules(package)}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_lies_below_them(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    for name, targets in ALL.items():
        if name.partition(".")[0] == package:
            ours = {target.partition(".")[0] for target in targets} & PACKAGES.keys()
            assert ours <= allowed, f"{name} imports {sorted(ours - allowed)}"


def test_no_module_takes_part_in_a_cycle() -> None:
    graph = {name: {target for target in targets if target in ALL and target != name} for name, targets in ALL.items()}
    # A package's __init__ re-exports its modules; a module that imports a sibling does not depend on the __init__.
    for name, targets in graph.items():
        targets -= {parent for parent in targets if name.startswith(f"{parent}.")}
    list(TopologicalSorter(graph).static_order())


def room_of(name: str) -> str:
    """The sub-package or root module of the server that a dotted name belongs to; empty for others."""
    package, _, rest = name.partition(".")
    return rest.partition(".")[0] if package == "tenuto_server" else ""


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_the_server_import_only_what_their_table_allows(room: str) -> None:
    for name, targets in ALL.items():
        if room_of(name) == room:
            rooms = {room_of(target) for target in targets} & ROOMS.keys() - {room}
            assert rooms <= ROOMS[room], f"{name} imports {sorted(rooms - ROOMS[room])}"


def test_every_room_of_the_server_is_in_the_table() -> None:
    assert {room_of(name) for name in ALL} - {"", "vllm_compat"} == ROOMS.keys()


@pytest.mark.parametrize("module", sorted(PURE))
def test_the_core_of_the_decoding_package_is_pure_python(module: str) -> None:
    roots = {target.partition(".")[0] for target in ALL[f"tenuto_decoding.{module}"]}
    assert not roots & ENGINE


def test_the_client_imports_no_engine() -> None:
    for name, targets in ALL.items():
        if name.partition(".")[0] == "tenuto":
            assert not {target.partition(".")[0] for target in targets} & ENGINE, name
