"""vLLM's command line options that our server reads or sets: `args.<option>`."""

import ast
from collections.abc import Iterator

from .sources import Definition, Sources
from .uses import Use

#: Where the parser is defined, newest release first.
_PARSERS = ("vllm.entrypoints.common.cli_args", "vllm.entrypoints.launchers.cli_args")
_POSITIONAL = {"model_tag"}


def option_uses(sources: Sources) -> Iterator[Use]:
    module = next(module for module in _PARSERS if sources.file(module))
    classes = [sources.resolve(module, "FrontendArgs"), sources.resolve("vllm.engine.arg_utils", "AsyncEngineArgs")]
    literal = {
        node.value.removeprefix("--").replace("-", "_")
        for node in ast.walk(sources.tree(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("--")
    }
    for ours in sources.modules("tenuto_server"):
        for node in ast.walk(sources.tree(ours)):
            match node:
                case ast.Attribute(value=ast.Name(id="args"), attr=name):
                    target = _field(sources, classes, name)
                    exists = target is not None or name in literal | _POSITIONAL
                    problem = None if exists else "is not an option of vllm serve"
                    yield Use(f"--{name.replace('_', '-')}", f"{ours}:{node.lineno}", target, problem)


def _field(sources: Sources, classes: list[Definition | None], name: str) -> Definition | None:
    for each in classes:
        member = sources.member(each, name) if each is not None else None
        if member is not None:
            return Definition(member.owner.module, name, None)
    return None
