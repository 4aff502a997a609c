"""What our packages use of vLLM and uvicorn, read from our own code, and what is wrong with it."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .objects import RELIED
from .signatures import Function, is_static, misfit, narrowing
from .sources import Definition, Member, Sources

EXTERNAL = ("vllm", "uvicorn")
# Bases outside of the sources whose attributes we do not read through `self`.
_PLAIN_BASES = {"ABC", "Exception", "Generic", "Protocol", "RuntimeError", "object", "asyncio.Protocol"}


@dataclass(frozen=True, slots=True)
class Use:
    """One thing that we rely on.

    Attributes:
        name: of vLLM's or uvicorn's name.
        where: our module and line.
        target: its definition; None where it does not exist.
        problem: why it does not work as we use it; None if it does.
    """

    name: str
    where: str
    target: Definition | Member | None
    problem: str | None = None


def uses_of(sources: Sources, packages: Iterable[str]) -> Iterator[Use]:
    """What the code of our packages uses of the `vllm` and `uvicorn` in these sources."""
    for package in packages:
        for module in sources.modules(package):
            yield from _Reader(sources, module).uses()


def uses_through_objects(sources: Sources) -> Iterator[Use]:
    """What is listed in `objects`."""
    for relied in RELIED:
        target = sources.lookup(relied.path)
        problem = None if target is not None else "does not exist"
        if relied.call and isinstance(target, Member) and isinstance(target.node, Function):
            call = ast.parse(relied.call, mode="eval").body
            assert isinstance(call, ast.Call)
            problem = misfit(call, target.node, bound=not is_static(target.node))
        yield Use(relied.path.replace(":", "."), relied.why, target, problem)


class _Reader:
    """Reads one of our modules."""

    def __init__(self, sources: Sources, module: str) -> None:
        self._sources = sources
        self._module = module

    def uses(self) -> Iterator[Use]:
        for node in ast.walk(self._sources.tree(self._module)):
            match node:
                case ast.ImportFrom(level=0):
                    yield from self._imported(node)
                case ast.ClassDef():
                    yield from self._subclass(node)
                case ast.Call():
                    yield from self._call(node)
                case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                    yield from self._module_attribute(name, attribute, node)

    def _where(self, node: ast.stmt | ast.expr) -> str:
        return f"{self._module}:{node.lineno}"

    def _imported(self, node: ast.ImportFrom) -> Iterator[Use]:
        """Each name of an external import. Of several alternatives for different releases, one has to exist."""
        source = node.module or ""
        if source.partition(".")[0] not in EXTERNAL:
            return
        for alias in node.names:
            target = self._sources.resolve(source, alias.name)
            if target is None and self._sources.file(source) is None:
                target = self._sources.resolve(self._module, alias.asname or alias.name)
            problem = None if target is not None else "does not exist"
            yield Use(f"{source}.{alias.name}", self._where(node), target, problem)

    def _module_attribute(self, name: str, attribute: str, node: ast.Attribute) -> Iterator[Use]:
        """`envs.VLLM_...`: a name of an imported module."""
        owner = self._external(ast.Name(name))
        if owner is not None and owner.node is None:
            target = self._sources.resolve(owner.module, attribute)
            problem = None if target is not None else "does not exist"
            yield Use(f"{owner.module}.{attribute}", self._where(node), target, problem)

    def _call(self, call: ast.Call) -> Iterator[Use]:
        """A call of an imported function or class, or of a class method of one."""
        target = self._external(call.func)
        if target is not None and isinstance(target.node, Function):
            yield Use(str(target), self._where(call), target, misfit(call, target.node, bound=False))
        elif target is not None and isinstance(target.node, ast.ClassDef):
            yield from self._method_call(call, list(self._sources.lineage(target)), "__init__")
        elif isinstance(call.func, ast.Attribute):
            owner = self._external(call.func.value)
            if owner is not None and isinstance(owner.node, ast.ClassDef):
                yield from self._method_call(call, list(self._sources.lineage(owner)), call.func.attr)

    def _method_call(self, call: ast.Call, owners: list[Definition], method: str) -> Iterator[Use]:
        """A call of a method that the first of the classes that has it defines."""
        member = self._inherited(owners, method)
        name = f"{owners[0]}.{method}"
        if member is not None and isinstance(member.node, Function):
            problem = misfit(call, member.node, bound=not is_static(member.node))
            yield Use(name, self._where(call), member, problem)
        elif member is None and method != "__init__" and self._is_complete(owners):
            yield Use(name, self._where(call), None, "does not exist")

    def _inherited(self, owners: list[Definition], name: str) -> Member | None:
        return next(filter(None, (self._sources.member(owner, name) for owner in owners)), None)

    def _external(self, node: ast.expr) -> Definition | None:
        found = self._sources.expression(self._module, node)
        return found if found is not None and found.module.partition(".")[0] in EXTERNAL else None

    def _subclass(self, cls: ast.ClassDef) -> Iterator[Use]:
        """The methods that a subclass overrides or calls through `super()`, and what it inherits and reads."""
        own = Definition(self._module, cls.name, cls)
        lineage = list(self._sources.lineage(own))
        ours = [each for each in lineage if each.module.partition(".")[0] not in EXTERNAL]
        theirs = [each for each in lineage if each not in ours]
        if not theirs:
            return
        for node in ast.walk(cls):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    member = self._inherited(theirs, node.name)
                    if member is not None and isinstance(member.node, Function) and not _is_constructor(member.node):
                        name = f"{member.owner}.{node.name}"
                        yield Use(name, self._where(node), member, narrowing(node, member.node))
                case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=method)):
                    yield from self._method_call(node, theirs, method)
                case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Load()):
                    if name.startswith("__") or any(self._own(each, name) for each in ours):
                        continue
                    member = self._inherited(theirs, name)
                    if member is not None:
                        yield Use(f"{member.owner}.{name}", self._where(node), member)
                    elif self._is_complete(lineage):
                        yield Use(f"{theirs[0]}.{name}", self._where(node), None, "does not exist")

    def _own(self, cls: Definition, name: str) -> bool:
        """Whether one of our classes defines the name itself; a bare annotation only repeats what a base has."""
        assert isinstance(cls.node, ast.ClassDef)
        member = self._sources.member(Definition(cls.module, cls.name, _without_bases(cls.node)), name)
        return member is not None and not (isinstance(member.node, ast.AnnAssign) and member.node.value is None)

    def _is_complete(self, lineage: list[Definition]) -> bool:
        """Whether all bases are in these sources, so that a name that is not found does not exist."""
        return all(
            found is not None or ast.unparse(base).partition("[")[0] in _PLAIN_BASES
            for cls in lineage
            if isinstance(cls.node, ast.ClassDef)
            for base, found in zip(cls.node.bases, self._sources.bases(cls), strict=True)
        )


def _is_constructor(function: Function) -> bool:
    """Whether we call this constructor ourselves. vLLM calls an abstract one, on our class."""
    is_abstract = any(isinstance(each, ast.Name) and each.id == "abstractmethod" for each in function.decorator_list)
    return function.name == "__init__" and not is_abstract


def _without_bases(cls: ast.ClassDef) -> ast.ClassDef:
    return ast.ClassDef(cls.name, [], [], cls.body, cls.decorator_list)
