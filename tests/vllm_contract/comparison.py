"""What differs between two releases in what we rely on."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from .signatures import Function, shown
from .sources import Definition, Member, members
from .uses import Use


class Kind(IntEnum):
    """How much a difference matters, most first."""

    PROBLEM = 0
    MOVED = 1
    SIGNATURE = 2
    CODE = 3


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    kind: Kind
    name: str
    text: str


def differences(before: Iterable[Use], after: Iterable[Use]) -> list[Difference]:
    """One difference for each name, the one that matters most. Problems are those of the later release."""
    earlier = {(use.name, use.where): use for use in before}
    found: dict[str, Difference] = {}
    for use in after:
        difference = _difference(earlier.get((use.name, use.where)), use)
        if difference is not None:
            found[use.name] = min(difference, found.get(use.name, difference))
    return sorted(found.values())


def _difference(before: Use | None, after: Use) -> Difference | None:
    if after.problem is not None:
        return Difference(Kind.PROBLEM, after.name, f"{after.problem} ({after.where})")
    if before is None or before.target is None or after.target is None:
        return None
    old, new = _definition(before.target), _definition(after.target)
    if str(old) != str(new):
        return Difference(Kind.MOVED, after.name, f"{old} -> {new}")
    return _changed(after.name, before.target.node, after.target.node)


def _definition(target: Definition | Member) -> Definition:
    return target.owner if isinstance(target, Member) else target


def _changed(name: str, old: ast.AST | None, new: ast.AST | None) -> Difference | None:
    if isinstance(old, ast.ClassDef) and isinstance(new, ast.ClassDef):
        lost = sorted(members(old).keys() - members(new).keys())
        return Difference(Kind.SIGNATURE, name, f"without {', '.join(lost)}") if lost else None
    if isinstance(old, Function) and isinstance(new, Function) and shown(old) != shown(new):
        return Difference(Kind.SIGNATURE, name, f"{shown(old)} -> {shown(new)}")
    if old is not None and new is not None and _code(old) != _code(new):
        return Difference(Kind.CODE, name, "the code differs")
    return None


def _code(node: ast.AST) -> str:
    """The node as text, without docstring."""
    if isinstance(node, Function) and ast.get_docstring(node) is not None:
        node = type(node)(**{**dict(ast.iter_fields(node)), "body": node.body[1:] or [ast.Pass()]})
    return ast.unparse(ast.fix_missing_locations(node))
