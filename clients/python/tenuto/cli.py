"""The `tenuto` command: lists and dispatches the sub-commands that the installed packages offer.

A sub-command is an entry point of the group `tenuto.commands`: a function `command(argv) -> exit status` whose
docstring's first line is its help line. One that cannot be imported is listed with the reason; the others still work.
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
    """Run `tenuto ARGV`, by default the process's own arguments; the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"tenuto {__version__}")
        return 0
    return dispatch(arguments[0], arguments[1:])


def installed() -> dict[str, EntryPoint]:
    """The sub-commands by name, in alphabetical order."""
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def dispatch(name: str, arguments: Sequence[str]) -> int:
    """Run one sub-command. A module that is missing is reported with what to install, anything else propagates."""
    commands = installed()
    if name not in commands:
        print(f"tenuto: unknown command {name!r}; known commands: {', '.join(commands)}", file=sys.stderr)
        return USAGE_ERROR
    try:
        command: Command = commands[name].load()
        return command(arguments)
    except ModuleNotFoundError as error:
        # One of our own modules missing is a defect of ours, which no extra would mend.
        if (error.name or "tenuto").startswith("tenuto"):
            raise
        print(f"tenuto {name}: {missing(commands[name], error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def overview() -> str:
    """The text of `tenuto --help`."""
    commands = installed()
    width = max(map(len, commands), default=0)
    lines = [f"  {name:<{width}}  {help_line(point)}" for name, point in commands.items()]
    head = ["usage: tenuto COMMAND ...", "       tenuto COMMAND --help", "       tenuto --version", "", "commands:"]
    return "\n".join([*head, *lines])


def help_line(point: EntryPoint) -> str:
    """First line of the command's docstring, or why the command is not available here."""
    try:
        command: Command = point.load()
    except ModuleNotFoundError as error:
        return f"not available: {missing(point, error)}"
    except Exception as error:
        # Somebody else's broken package must not take `tenuto --help` with it.
        return f"not available: {type(error).__name__}: {error}"
    return (command.__doc__ or "").strip().partition("\n")[0]


def missing(point: EntryPoint, error: ModuleNotFoundError) -> str:
    """Which module is missing and which extra brings it (the extra is named as the package, without `tenuto_`)."""
    package = point.module.partition(".")[0]
    extra = package.removeprefix("tenuto_")
    remedy = f': pip install "tenuto[{extra}]"' if extra != package else ""
    return f"module {error.name!r} is not installed{remedy}"
