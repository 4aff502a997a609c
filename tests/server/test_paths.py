"""The table of URL paths: it agrees with the application, and no other module writes a path."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tenuto_server
from tenuto_server.app import build_app
from tenuto_server.config.command_line import parse_command_line
from tenuto_server.middleware.api_keys import KeyRing
from tenuto_server.paths import ENDPOINTS, find_endpoint
from tenuto_server.state import ServerState

SOURCES = Path(tenuto_server.__file__).parent


def test_the_table_has_every_route_and_no_other_path() -> None:
    config, args = parse_command_line(["some/model"])
    routes = build_app(args, config, KeyRing(()), ServerState()).routes
    assert {getattr(route, "path", "") for route in routes} == {endpoint.path for endpoint in ENDPOINTS}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_an_endpoint_is_found_by_its_path(endpoint: object) -> None:
    path = getattr(endpoint, "path", "").replace("{reply_id:path}", "chatcmpl-1/2")
    assert find_endpoint(path.replace("{model_id:path}", "org/model")) is endpoint


@pytest.mark.parametrize(
    ("path", "guarded", "anthropic"),
    [
        ("/v1/nowhere", True, False),
        ("/v1/messages/nowhere", True, True),
        ("/v1/requests/a", True, False),
        ("/nowhere", False, False),
        ("/livez/", False, False),
        ("", False, False),
    ],
)
def test_a_path_without_a_route(path: str, guarded: bool, anthropic: bool) -> None:
    """Below `/v1/` it is guarded like a path that exists: what is there is known only once the body was accepted."""
    found = find_endpoint(path)
    assert (found.path, found.is_guarded, found.is_anthropic) == ("", guarded, anthropic)
    assert found.public is None


def literals(tree: ast.Module) -> Iterator[str]:
    """String literals, except docstrings and the arguments of decorators."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            skipped |= {child for decorator in node.decorator_list for child in ast.walk(decorator)}
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node.value


@pytest.mark.parametrize("module", sorted(SOURCES.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCES)))
def test_no_other_module_writes_a_path(module: Path) -> None:
    if module.name == "paths.py":
        return
    known = {endpoint.path for endpoint in ENDPOINTS} - {"/"}  # which separates the parts of any path
    found = [text for text in literals(ast.parse(module.read_text())) if text in known or text.startswith("/v1/")]
    assert found == []
