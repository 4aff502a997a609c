"""What an ASGI scope says of a request."""

from starlette.types import Scope


def path_of(scope: Scope) -> str:
    """The path as routes see it: below `--root-path`, which a proxy may have left in or taken away."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path
