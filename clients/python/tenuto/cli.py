"""The `tenuto` command: lists and runs the sub-commands of the installed packages.

A sub-command is an entry point of the group `tenuto.commands`: a function `command(argv) -> exit status`. The first
line of its docstring is its line in `tenuto --help`. A sub-command that cannot be imported is listed with the reason,
and the others still work.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points

from tenuto._version import __version__

GROUP = "tenuto.commands"
USAGE_ERROR = 2
INTERRUPTED = 130

Command = Callable[[Sequence[str]], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tenuto ARGV`, by default with the arguments of the process, and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(help_text())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"tenuto {__version__}")
        return 0
    return dispatch(arguments[0], arguments[1:])


def installed_commands() -> dict[str, EntryPoint]:
    """Return the sub-commands by name, in alphabetical order."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def dispatch(name: str, arguments: Sequence[str]) -> int:
    """Run one sub-command. If a module is missing, say what to install; other exceptions propagate."""
    commands = installed_commands()
    if name not in commands:
        print(f"tenuto: unknown command {name!r}; known commands: {', '.join(commands)}", file=sys.stderr)
        return USAGE_ERROR
    try:
        command: Command = commands[name].load()
        return command(arguments)
    except ModuleNotFoundError as error:
        # A missing module of our own is a bug; installing an extra would not help.
        if (error.name or "tenuto").startswith("tenuto"):
            raise
        print(f"tenuto {name}: {missing_module(commands[name], error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def help_text() -> str:
    """Return the text of `tenuto --help`."""
    commands = installed_commands()
    width = max(map(len, commands), default=0)
    lines = [f"  {name:<{width}}  {help_line(point)}" for name, point in commands.items()]
    head = ["usage: tenuto COMMAND ...", "       tenuto COMMAND --help", "       tenuto --version", "", "commands:"]
    return "\n".join([*head, *lines])


def help_line(point: EntryPoint) -> str:
    """Return the first line of the command's docstring, or why the command is not available."""
    try:
        command: Command = point.load()
    except ModuleNotFoundError as error:
        return f"not available: {missing_module(point, error)}"
    except Exception as error:
        # A broken third-party package must not break `tenuto --help`.
        return f"not available: {type(error).__name__}: {error}"
    return (command.__doc__ or "").strip().partition("\n")[0]


def missing_module(point: EntryPoint, error: ModuleNotFoundError) -> str:
    """Name the missing module and the extra that installs it.

    It is named as the package without `tenuto_`, and in this package as the command.
    """
    package = point.module.partition(".")[0]
    extra = point.name if package == "tenuto" else package.removeprefix("tenuto_")
    remedy = f': pip install "tenuto[{extra}]"' if extra != package else ""
    return f"module {error.name!r} is not installed{remedy}"
