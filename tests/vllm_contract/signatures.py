"""Whether a call fits a signature, and whether an override takes every call that its base takes."""

import ast

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_static(function: Function) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in function.decorator_list)


def is_property(function: Function) -> bool:
    names = {each.id if isinstance(each, ast.Name) else getattr(each, "attr", "") for each in function.decorator_list}
    return bool(names & {"property", "cached_property"})


def misfit(call: ast.Call, function: Function, *, bound: bool) -> str | None:
    """What is wrong with the arguments of a call. `bound`: Python passes the first parameter."""
    arguments = function.args
    positional = [each.arg for each in (*arguments.posonlyargs, *arguments.args)][1 if bound else 0 :]
    by_name = {*positional, *(each.arg for each in arguments.kwonlyargs)}
    given = {each.arg for each in call.keywords if each.arg is not None}
    unpacks = any(each.arg is None for each in call.keywords) or any(isinstance(a, ast.Starred) for a in call.args)
    if not arguments.kwarg and given - by_name:
        return f"takes no {', '.join(sorted(given - by_name))}"
    if not arguments.vararg and len(call.args) > len(positional):
        return f"takes {len(positional)} positional arguments"
    if unpacks:
        return None
    optional = len(arguments.defaults)
    required = positional[len(call.args) : len(positional) - optional] + [
        each.arg for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None
    ]
    missing = [name for name in required if name not in given]
    return f"needs {', '.join(missing)}" if missing else None


def narrowing(ours: Function, base: Function) -> str | None:
    """The arguments that the overridden method accepts and the override does not."""
    if is_property(ours) or is_property(base):
        return None
    mine, theirs = ours.args, base.args
    names = [each.arg for each in (*mine.posonlyargs, *mine.args)]
    expected = [each.arg for each in (*theirs.posonlyargs, *theirs.args)]
    if not mine.vararg and names[: len(expected)] != expected:
        return f"called with ({', '.join(expected)})"
    keyword_only = {each.arg for each in theirs.kwonlyargs} - {*names, *(each.arg for each in mine.kwonlyargs)}
    if keyword_only and not mine.kwarg:
        return f"called with {', '.join(sorted(keyword_only))}"
    return None


def shown(function: Function) -> str:
    """The parameters as text, without annotations."""
    bare = ast.parse(f"def f({ast.unparse(function.args)}): ...").body[0]
    assert isinstance(bare, ast.FunctionDef)
    for node in ast.walk(bare.args):
        if isinstance(node, ast.arg):
            node.annotation = None
    return f"({ast.unparse(bare.args)})"
