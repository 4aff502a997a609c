"""Imports go one way, between packages, between the rooms of a package, and never in a circle.

A room is a sub-package, or a module at the root of a package.
"""

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

# The decoding core: pure Python, so that it loads where no engine is installed.
CORE = {
    "actions",
    "automaton",
    "budget",
    "errors",
    "families",
    "loops",
    "marker_fields",
    "markers",
    "matching",
    "plan",
    "prompt",
    "script",
    "tags",
    "vocabulary",
    "worker",
    "worker_messages",
}
ENGINE = {"vllm", "torch", "transformers", "triton"}

# For each room, what it may import of its own package: whole rooms, or single modules of one.
# The modules at the root of the server that everything in it may use.
BASE = {"context", "error_response", "errors", "metrics", "paths", "state", "vllm_compat"}
ROOMS: dict[str, dict[str, set[str]]] = {
    "tenuto_decoding": {
        **dict.fromkeys(CORE, CORE),
        "gpu": CORE,
        "logits": {"actions", "plan"},
        "vllm_compat": {"markers"},
        # The detection renders chat templates with `transformers`, imported when needed.
        "chat_templates": {"markers"},
        "beginnings": {*CORE, "chat_templates"},
        "template_facts": {*CORE, "beginnings", "chat_templates"},
        "detection": {*CORE, "beginnings", "chat_templates", "template_facts"},
        "vllm_requests": {*CORE, "detection", "vllm_compat"},
        "vllm_v1": {*CORE, "logits", "vllm_compat", "vllm_requests"},
        "vllm_v2": {*CORE, "gpu", "vllm_compat", "vllm_requests"},
        "huggingface": {*CORE, "detection", "logits"},
    },
    "tenuto_server": {
        "launcher": {"api", "app", "budgets", "config", "engine", "middleware", "reasoning", *BASE},
        "app": {"api", "config", "middleware", "playground", *BASE},
        "api": {
            "budgets",
            "config.limits",
            "engine.accounting",
            "engine.forced_text",
            "playground",
            "reasoning",
            *BASE,
        },
        "playground": {"paths"},
        "middleware": {"config.limits", "engine.accounting", *BASE},
        "engine": {"budgets", "context", "errors", "metrics", "paths", "vllm_compat"},
        "config": {"budgets", "errors", "paths", "vllm_compat"},
        "inspection": {"config", "errors", "launcher.exit_status"},
        "budgets": {"errors"},
        "reasoning": {"vllm_compat"},
        "state": {"errors", "metrics"},
        "error_response": {"context", "errors", "paths"},
        "vllm_compat": set(),
        "paths": set(),
        "context": set(),
        "errors": set(),
        "metrics": set(),
        "cli": set(),
    },
    "tenuto_training": {
        "tiny": {"errors", "formats", "masking"},
        "cli": {"errors", "tiny"},
        "errors": set(),
        "formats": set(),
        "masking": set(),
    },
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


def room_of(name: str) -> str:
    """The room of a dotted module name; empty for a package itself."""
    return name.partition(".")[2].partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_lies_below_them(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    for name, targets in ALL.items():
        if name.partition(".")[0] == package:
            ours = {target.partition(".")[0] for target in targets} & PACKAGES.keys()
            assert ours <= allowed, f"{name} imports {sorted(ours - allowed)}"


@pytest.mark.parametrize(("package", "room"), [(package, room) for package, rooms in ROOMS.items() for room in rooms])
def test_rooms_import_only_what_their_table_allows(package: str, room: str) -> None:
    allowed = {f"{package}.{target}" for target in ROOMS[package][room] | {room}}
    for name in (name for name in ALL if name.startswith(f"{package}.") and room_of(name) == room):
        own = {target for target in ALL[name] & ALL.keys() if target.startswith(f"{package}.")}
        # `from .engine import accounting` names the room and the module; the module is what is imported.
        own -= {target for target in own if any(other.startswith(f"{target}.") for other in own)}
        others = {target for target in own if not any(f"{target}.".startswith(f"{known}.") for known in allowed)}
        assert not others, f"{name} imports {sorted(others)}"


@pytest.mark.parametrize("package", ROOMS)
def test_every_room_is_in_its_table(package: str) -> None:
    assert {room_of(name) for name in ALL if name.startswith(f"{package}.")} <= ROOMS[package].keys()


def test_no_module_takes_part_in_a_cycle() -> None:
    graph = {name: {target for target in targets if target in ALL and target != name} for name, targets in ALL.items()}
    # A package's __init__ re-exports its modules; a module that imports a sibling does not depend on the __init__.
    for name, targets in graph.items():
        targets -= {parent for parent in targets if name.startswith(f"{parent}.")}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", sorted(CORE | {"gpu.layout"}))
def test_the_core_of_the_decoding_package_is_pure_python(module: str) -> None:
    roots = {target.partition(".")[0] for target in ALL[f"tenuto_decoding.{module}"]}
    assert not roots & ENGINE


def test_the_client_imports_no_engine() -> None:
    for name, targets in ALL.items():
        if name.partition(".")[0] == "tenuto":
            assert not {target.partition(".")[0] for target in targets} & ENGINE, name


def test_tests_and_benchmarks_share_only_the_harness() -> None:
    """Benchmarks import no tests, only their own tests import benchmarks, and nothing that is installed the harness."""
    roots = {
        path.relative_to(ROOT): {name.partition(".")[0] for name in imported("", ast.parse(path.read_text()))}
        for folder in ("testing", "benchmarks", "tests", *(str(base.relative_to(ROOT)) for base in PACKAGES.values()))
        for path in (ROOT / folder).rglob("*.py")
    }
    for path, names in roots.items():
        room = path.parts[0]
        assert room == "tests" or "tests" not in names, path
        assert room == "benchmarks" or path.is_relative_to("tests/benchmarks") or "benchmarks" not in names, path
        assert room in ("testing", "tests", "benchmarks") or "tenuto_testing" not in names, path
