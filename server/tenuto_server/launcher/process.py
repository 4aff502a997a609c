"""The server's process, and the first module that runs in every process that it spawns.

`multiprocessing` imports the main module of the parent in each spawned process, under the name `__mp_main__` and before
anything else. `tenuto serve` makes this module the main one, so that every vLLM process watches the server.
"""

import os
import signal
import sys

from ..errors import StartupError
from .exit_status import OK, USAGE_ERROR
from .parent_watch import announce_server, die_with_server
from .progress import LoadProgress
from .terminal import ServerTerminal

_START_METHOD = "VLLM_WORKER_MULTIPROC_METHOD"
#: With either, the Prometheus library would keep metrics in files, and leave out those that are computed when scraped.
_METRICS_FOLDERS = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")


def main() -> int:
    terminal = ServerTerminal()
    try:
        terminal.capture_errors()
    except OSError as error:  # as in a container with a read-only file system
        sys.stderr.write(
            f"tenuto serve: the log needs a temporary directory that can be written to ({error.strerror}): "
            "mount one at /tmp, or set TMPDIR\n"
        )
        return USAGE_ERROR
    _end_at_sigterm(terminal)
    progress = LoadProgress(terminal, "loading vLLM")
    try:
        _prepare()
        from ..config.command_line import parse_command_line
        from .headless import run_headless
        from .output import ServerOutput
        from .server import serve

        progress.show_spinner(False)  # as --help is written to standard output
        config, args = parse_command_line(sys.argv[1:])
        progress.show_spinner(True)
        run = run_headless if args.headless else serve
        run(config, args, ServerOutput(terminal, progress, config, args))
    except StartupError as error:
        progress.stop()
        terminal.release()
        terminal.drop_log()
        sys.stderr.write(f"tenuto serve: {error}\n")
        return USAGE_ERROR
    except BaseException as error:  # after --help, or with a traceback, which Python prints
        progress.stop()
        terminal.release()
        if isinstance(error, SystemExit):
            terminal.drop_log()
        raise


def _end_at_sigterm(terminal: ServerTerminal) -> None:
    """End at once, as later while the model loads, until `Server` handles the signal.

    Without a handler, the kernel discards the signal if this is the first process of a container.
    """

    def end(*_: object) -> None:
        terminal.drop_log()
        os._exit(OK)

    signal.signal(signal.SIGTERM, end)


def _prepare() -> None:
    """Set the environment that vLLM's import and its processes need."""
    announce_server()
    if os.environ.setdefault(_START_METHOD, "spawn") != "spawn":
        raise StartupError(f"{_START_METHOD}={os.environ[_START_METHOD]}: only spawned processes end with the server")
    for name in _METRICS_FOLDERS:
        if name in os.environ:
            raise StartupError(
                f"{name} is set, which is for several processes that share one /metrics: unset it, as this server is "
                "one process and exports its metrics itself"
            )
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # vLLM reports usage only if the operator asks for it


if __name__ == "__mp_main__":
    die_with_server()
elif __name__ == "__main__":
    sys.exit(main())
