"""Names in Python sources: where one is defined, through re-exports and base classes."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Definition:
    """A named function, class, module (`node` is None) or other value."""

    module: str
    name: str
    node: ast.stmt | None

    def __str__(self) -> str:
        return f"{self.module}.{self.name}".rstrip(".")


@dataclass(frozen=True, slots=True)
class Member:
    """A name that a class or one of its bases defines: a method or an attribute."""

    owner: Definition
    node: ast.AST


class Sources:
    """Packages as source files: `roots` maps a top-level name to its folder."""

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self._roots = dict(roots)
        self._cache: dict[tuple[str, str], Definition | None] = {}

    def covers(self, module: str) -> bool:
        return module.partition(".")[0] in self._roots

    def file(self, module: str) -> Path | None:
        """The file of a module, or None where there is no such module."""
        top, *rest = module.split(".")
        if top not in self._roots:
            return None
        path = self._roots[top].joinpath(*rest)
        return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)

    def modules(self, package: str) -> Iterator[str]:
        folder = self._roots[package]
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join([package, *parts]).removesuffix(".__init__")

    def tree(self, module: str) -> ast.Module:
        file = self.file(module)
        assert file is not None, module
        return _parse(file)

    def resolve(self, module: str, name: str) -> Definition | None:
        """The definition of a module's name, through re-exports; of alternatives, the first that exists."""
        key = (module, name)
        if key not in self._cache:
            self._cache[key] = None  # a circle of re-exports defines nothing
            self._cache[key] = self._resolve(module, name)
        return self._cache[key]

    def _resolve(self, module: str, name: str) -> Definition | None:
        if self.file(module) is None:
            return None
        for statement in statements(self.tree(module).body):
            found = self._binding(module, name, statement)
            if found is not None:
                return found
        submodule = f"{module}.{name}"
        return Definition(submodule, "", None) if self.file(submodule) else self._lazy(module, name)

    def _binding(self, module: str, name: str, statement: ast.stmt) -> Definition | None:
        match statement:
            case ast.FunctionDef(name=bound) | ast.AsyncFunctionDef(name=bound) | ast.ClassDef(name=bound):
                return Definition(module, name, statement) if bound == name else None
            case ast.Assign() | ast.AnnAssign():
                return Definition(module, name, statement) if name in assigned(statement) else None
            case ast.ImportFrom():
                source = self.absolute(module, statement)
                for alias in statement.names:
                    if (alias.asname or alias.name) == name or alias.name == "*":
                        found = self.resolve(source, name if alias.name == "*" else alias.name)
                        if found is not None:
                            return found
            case ast.Import(names=names):
                for alias in names:
                    if (alias.asname or alias.name) == name and self.file(alias.name):
                        return Definition(alias.name, "", None)
        return None

    def _lazy(self, module: str, name: str) -> Definition | None:
        """A name that `__getattr__` imports on demand, by a table of strings such as ".module:Name"."""
        for node in ast.walk(self.tree(module)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(f":{name}"):
                source = node.value.removesuffix(f":{name}")
                return self.resolve(f"{module}{source}" if source.startswith(".") else source, name)
        return None

    def absolute(self, module: str, statement: ast.ImportFrom) -> str:
        """The module that an import names, with dots resolved."""
        if not statement.level:
            return statement.module or ""
        file = self.file(module)
        levels = statement.level - (file is not None and file.name == "__init__.py")
        package = module.split(".")[: len(module.split(".")) - levels]
        return ".".join([*package, *([statement.module] if statement.module else [])])

    def lookup(self, path: str) -> Definition | Member | None:
        """`module:Name` or `module:Class.member`."""
        module, _, qualified = path.partition(":")
        name, _, member = qualified.partition(".")
        found = self.resolve(module, name)
        return self.member(found, member) if found is not None and member else found

    def bases(self, owner: Definition) -> list[Definition | None]:
        """The base classes; None for one outside of these sources."""
        assert isinstance(owner.node, ast.ClassDef)
        return [self.expression(owner.module, base) for base in owner.node.bases]

    def expression(self, module: str, node: ast.expr) -> Definition | None:
        """The definition of a name or dotted name as a module uses it."""
        match node:
            case ast.Subscript(value=value):
                return self.expression(module, value)
            case ast.Name(id=name):
                return self.resolve(module, name)
            case ast.Attribute(value=value, attr=name):
                owner = self.expression(module, value)
                return self.resolve(owner.module, name) if owner is not None and owner.node is None else None
        return None

    def lineage(self, owner: Definition) -> Iterator[Definition]:
        """The class and its bases in these sources, nearest first."""
        yield owner
        for base in self.bases(owner):
            if base is not None and isinstance(base.node, ast.ClassDef):
                yield from self.lineage(base)

    def member(self, owner: Definition, name: str) -> Member | None:
        """A method, class attribute or attribute that a method sets on `self`."""
        if not isinstance(owner.node, ast.ClassDef):
            return None
        for cls in self.lineage(owner):
            assert isinstance(cls.node, ast.ClassDef)
            found = members(cls.node).get(name)
            if found is not None:
                return Member(cls, found)
        return None


@cache
def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body, also within `if`, `try` and `with`."""
    for statement in body:
        yield statement
        match statement:
            case ast.If(body=first, orelse=second):
                yield from statements([*first, *second])
            case ast.Try(body=first, handlers=handlers, orelse=second, finalbody=last):
                yield from statements([*first, *second, *(line for each in handlers for line in each.body), *last])
            case ast.With(body=first):
                yield from statements(first)


def assigned(statement: ast.stmt) -> set[str]:
    """The plain names that an assignment binds."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return {node.id for target in targets if target for node in ast.walk(target) if isinstance(node, ast.Name)}


@cache
def members(cls: ast.ClassDef) -> dict[str, ast.AST]:
    """What the class itself defines, by name; a method wins over an attribute of its name."""
    found: dict[str, ast.AST] = {}
    for node in ast.walk(cls):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                found.setdefault(name, node)
    for statement in statements(cls.body):
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found[name] = statement
            case ast.Assign() | ast.AnnAssign():
                for name in assigned(statement):
                    found.setdefault(name, statement)
    return found
