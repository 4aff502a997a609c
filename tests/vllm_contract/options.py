"""vLLM's command line options that our server reads or sets: `args.<option>`."""

import ast
from collections.abc import Iterator

from .sources import Sources
from .uses import Use

#: Where the parser is defined, newest release first.
_PARSERS = ("vllm.entrypoints.common.cli_args", "vllm.entrypoints.launchers.cli_args")
_POSITIONAL = {"model_tag"}


def option_uses(sources: Sources) -> Iterator[Use]:
    """Each option that our server reads or sets: a field of vLLM's argument classes, or a literal in its parser."""
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
                    is_field = any(each is not None and sources.member(each, name) for each in classes)
                    problem = None if is_field or name in literal | _POSITIONAL else "is not an option of vllm serve"
                    yield Use(f"--{name.replace('_', '-')}", f"{ours}:{node.lineno}", None, problem)
