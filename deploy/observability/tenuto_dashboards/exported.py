"""Every series that a server exports, with its labels: our own, vLLM's and the HTTP layer's.

Ours come from the server's table. The others are read in the sources of the installed vLLM and instrumentator, which
takes milliseconds and imports no engine; `tests/fleet` compares all of it with the exposition of a running server.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tenuto_server.metrics.definitions import SERIES, TARGET_LABELS, Values, exposed_names

#: What Prometheus itself records of each scrape.
SCRAPE_SERIES = ("up", "scrape_duration_seconds", "scrape_samples_scraped")
#: By the name of the class that creates a metric, in lower case: what follows the name in each of its series.
_SUFFIXES = {
    "gauge": ("",),
    "counter": ("_total",),
    "summary": ("_count", "_sum"),
    "histogram": ("_bucket", "_count", "_sum"),
}


@cache
def exported() -> Mapping[str, frozenset[str]]:
    """The labels of every series, by the name under which it is queried."""
    metrics = [
        *((series.name, series.kind, series.labels) for series in SERIES),
        *_defined_in("vllm", "v1/metrics/loggers.py", "PrometheusStatLogger.__init__"),
        *_defined_in("prometheus_fastapi_instrumentator", "metrics.py", "default"),
    ]
    found = {name: labels for metric in metrics for name, labels in _series(*metric)}
    return found | dict.fromkeys(SCRAPE_SERIES, frozenset(TARGET_LABELS))


@cache
def known_values() -> Mapping[str, Mapping[str, Values]]:
    """The values of the labels of a series of ours that has a fixed set of them, by its name and theirs."""
    return {name: series.values for series in SERIES for name in exposed_names(series)}


def _series(name: str, kind: str, labels: Iterable[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for suffix in _SUFFIXES[kind]:
        bound = {"le"} if suffix == "_bucket" else set()
        # The client library takes the name of a counter with `_total` or without.
        yield (
            name.removesuffix("_total" if kind == "counter" else "") + suffix,
            frozenset({*labels, *bound, *TARGET_LABELS}),
        )


def _defined_in(package: str, module: str, function: str) -> Iterator[tuple[str, str, Sequence[str]]]:
    """(name, kind, labels) of each metric that a function creates whatever its configuration."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed; `make setup` installs it")
    node: ast.AST = ast.parse((Path(spec.submodule_search_locations[0]) / module).read_text())
    for name in function.split("."):
        node = next(child for child in ast.iter_child_nodes(node) if getattr(child, "name", None) == name)
    lists: dict[str, ast.expr] = {}
    for child in _unconditional(node):
        if isinstance(child, ast.Assign) and isinstance(child.targets[0], ast.Name):
            lists[child.targets[0].id] = child.value
        if isinstance(child, ast.Call) and (kind := _kind(child.func)):
            arguments = {keyword.arg: keyword.value for keyword in child.keywords}
            if isinstance(name_of := arguments.get("name"), ast.Constant):
                yield str(name_of.value), kind, _strings(arguments.get("labelnames"), lists)


def _unconditional(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes, in order, except what is in the branches of an `if` or in a nested function."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.If | ast.FunctionDef):
            yield child
            yield from _unconditional(child)


def _kind(function: ast.expr) -> str | None:
    """The kind of metric that a class creates: `self._gauge_cls` or `Gauge`."""
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    kind = name.lower().removeprefix("_").removesuffix("_cls")
    return kind if kind in _SUFFIXES else None


def _strings(node: ast.expr | None, lists: Mapping[str, ast.expr]) -> tuple[str, ...]:
    """The value of an expression of lists and tuples of strings. Anything else in it is empty by default."""
    match node:
        case ast.Name(id=name):
            return _strings(lists.get(name), lists)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _strings(left, lists) + _strings(right, lists)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return tuple(str(item.value) for item in items if isinstance(item, ast.Constant))
    return ()
