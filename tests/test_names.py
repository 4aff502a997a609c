"""A class name means one thing in all five packages."""

import ast
from collections import defaultdict

from tests.test_imports import PACKAGES, modules

#: One name for the processors of all engines: which one it is follows from its module.
SHARED = {"ThinkingLogitsProcessor"}


def test_no_two_classes_share_a_name() -> None:
    found = defaultdict(list)
    for package in PACKAGES:
        for module, tree in modules(package):
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    found[node.name].append(module)
    assert len(found) > 150
    assert {name: places for name, places in found.items() if len(places) > 1 and name not in SHARED} == {}
