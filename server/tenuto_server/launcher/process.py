"""The server's process, and the first thing that runs in every process which it spawns.

`multiprocessing` imports the main module of the parent in each process that it spawns, under the name `__mp_main__` and
before anything else. `tenuto serve` makes this module the main one, and so no process of vLLM's, wherever it is started
and whatever it is for, lives without its lifeline.
"""

import os
import sys

from ..errors import StartupError
from .parent_watch import announce_server, die_with_server

USAGE_ERROR = 2

_START_METHOD = "VLLM_WORKER_MULTIPROC_METHOD"


def main() -> int:
    try:
        _prepare()
        from ..config.command_line import parse_command_line
        from .server import serve

        serve(*parse_command_line(sys.argv[1:]))
    except StartupError as error:
        sys.stderr.write(f"tenuto serve: {error}\n")
        return USAGE_ERROR


def _prepare() -> None:
    """What must stand in the environment before vLLM is imported."""
    announce_server()
    if os.environ.setdefault(_START_METHOD, "spawn") != "spawn":
        raise StartupError(f"{_START_METHOD}={os.environ[_START_METHOD]}: only spawned processes end with the server")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # nothing is reported to anybody unless asked for


if __name__ == "__mp_main__":
    die_with_server()
elif __name__ == "__main__":
    sys.exit(main())
