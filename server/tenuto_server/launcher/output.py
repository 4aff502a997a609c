"""What a server says about itself: a banner, its progress while it loads, warnings, its requests, and why it failed."""

import logging
import re
from argparse import Namespace
from importlib.metadata import version
from typing import Any

from vllm import __version__ as vllm_version

from ..config.command_line import BUILT_IN_NAME, ServeConfig
from ..errors import StartupError
from .log_follower import NOISE, NOISE_OF_BUILT_IN, EngineLine, LogFollower
from .progress import LoadProgress
from .terminal import ServerTerminal

logger = logging.getLogger("vllm.tenuto")

_TAIL_LINES = 20

#: `extra` of a record that goes to the log file alone.
LOG_ONLY = {"log_only": True}


class ServerOutput:
    """Decides what goes to the terminal and what to the log file alone.

    With `--verbose`, or a logging configuration of the operator's own, everything goes to the terminal and there is no
    file. With `--log-format json`, every line on the terminal is a JSON object.
    """

    def __init__(self, terminal: ServerTerminal, progress: LoadProgress, config: ServeConfig, args: Namespace) -> None:
        self._terminal, self._progress = terminal, progress
        self._is_json = config.log_format == "json"
        self._is_quiet = not (config.verbose or _has_own_logging(args))
        self._is_built_in = args.served_model_name == [BUILT_IN_NAME]
        self._has_playground = not config.no_playground
        self._noise = NOISE_OF_BUILT_IN if self._is_built_in else NOISE
        self._handler = _TerminalHandler(terminal, self._noise)
        self._follower: LogFollower | None = None
        if self._is_json:
            progress.show_spinner(False)
        if not self._is_quiet:
            progress.stop()
            terminal.release()
            terminal.drop_log()
            return
        try:
            terminal.capture(config.log_file)
        except OSError as error:
            raise StartupError(f"--log-file: {config.log_file} cannot be written: {error.strerror}") from error

    def attach(self, args: Namespace) -> None:
        """Show what this process logs, once logging is configured. May be repeated: configuring removes handlers."""
        if not self._is_quiet:
            return
        if self._is_json:
            self._handler.setFormatter(logging.getLogger("vllm").handlers[0].formatter)
        names = ["vllm", "uvicorn", *([] if args.disable_uvicorn_access_log else ["uvicorn.access"])]
        for name in names:
            logging.getLogger(name).addHandler(self._handler)

    def begin(self, args: Namespace, address: str) -> None:
        """The banner, and progress from here on."""
        model = f"{BUILT_IN_NAME} (built in)" if self._is_built_in else args.model
        head = f"Tenuto {version('tenuto')} on vLLM {vllm_version}"
        rows = {"model": model, "URL": address}
        if self._terminal.log_path is not None:
            rows["log"] = f"{self._terminal.log_path} (vLLM's full log; --verbose shows it here)"
            self._follower = LogFollower(self._terminal.log_path, self._noise, self._show, self._progress.enter)
        if self._is_json:
            logger.info("%s: %s", head, ", ".join(f"{name} {value}" for name, value in rows.items()))
        else:
            lines = [head, *(f"  {name:<6} {value}" for name, value in rows.items())]
            self._terminal.write("\n".join(lines) + "\n")
        self._progress.enter("reading the model's configuration")
        self._progress.write_line = logger.info if self._is_json else self._say

    def ready(self, address: str, command: list[str]) -> None:
        """The model is loaded: how to try it."""
        self._end_loading()
        head = f"Tenuto is ready at {address} after {self._progress.seconds:.0f} s"
        if self._is_json:
            logger.info("%s. Try: %s", head, " ".join(command))
        else:
            page = ". Open it in a browser for the playground" if self._has_playground and "://" in address else ""
            self._terminal.write(f"\n{head}{page}. Try it:\n\n  " + " \\\n    ".join(command) + "\n")

    def joined(self, what: str) -> None:
        """A node without a server of its own has loaded its part of the model."""
        self._end_loading()
        text = f"{what} after {self._progress.seconds:.0f} s"
        if self._is_json:
            logger.info("%s", text)
        else:
            self._terminal.write(f"\n{text}.")

    def _end_loading(self) -> None:
        self._progress.stop()
        if self._follower is not None:
            self._follower.is_loading = False

    def failed(self, error: BaseException) -> None:
        """The engine could not be started. Its errors were shown as they came; add what else is at the log's end."""
        self.close()
        if isinstance(error, StartupError):
            self._terminal.write(f"tenuto serve: {error}", error=True)
            if error.__cause__ is not None:
                logger.error("The options cannot work", exc_info=error.__cause__, extra=LOG_ONLY)
            return
        summary = f"the model could not be loaded: {type(error).__name__}: {error}"
        if self._terminal.log_path is None:
            logger.error("%s", summary, exc_info=error)
            return
        tail = "\n".join(self._last_lines())
        where = f"The last lines of the log, {self._terminal.log_path}:"
        if self._is_json:
            logger.error("%s. %s\n%s", summary, where, tail)
        else:
            self._terminal.write(f"tenuto serve: {summary}\n\n{where}\n{tail}", error=True)
        logger.error("The model could not be loaded", exc_info=error, extra=LOG_ONLY)

    def close(self) -> None:
        """Show what is still to be shown."""
        self._progress.stop()
        if self._follower is not None:
            self._follower.close()

    def _last_lines(self) -> list[str]:
        assert self._terminal.log_path is not None
        lines = self._terminal.log_path.read_text(errors="replace").splitlines()
        new = [line for line in lines if line.strip() and not _is_error(line)]
        return [f"  {line}" for line in new[-_TAIL_LINES:]]

    def _show(self, line: EngineLine) -> None:
        """Show a warning or an error of an engine process."""
        is_json = line.text.startswith("{")
        self._terminal.write(line.text if is_json else f"{line.time} {line.level} {line.process}: {line.message}")

    def _say(self, text: str) -> None:
        self._terminal.write(f"  {text}")


def _is_error(line: str) -> bool:
    """Whether the line was shown when it was written."""
    parsed = EngineLine.parse(line)
    return parsed is not None and parsed.level in ("ERROR", "CRITICAL")


def _has_own_logging(args: Namespace) -> bool:
    config = getattr(args, "logging_config", None)
    return config is not None and (not config.configure_logging or config.pylogging_config_file is not None)


class _TerminalHandler(logging.Handler):
    """Shows this server's records, and warnings and errors of the others in this process."""

    def __init__(self, terminal: ServerTerminal, noise: re.Pattern[str]) -> None:
        super().__init__()
        self._terminal, self._noise = terminal, noise
        self.setFormatter(_ShortFormatter())

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "log_only", False):
            return False
        if record.name.startswith(("vllm.tenuto", "uvicorn.access")):
            return True
        return record.levelno >= logging.WARNING and not self._noise.search(record.getMessage())

    def emit(self, record: logging.LogRecord) -> None:
        self._terminal.write(self.format(record))


class _ShortFormatter(logging.Formatter):
    """The time and the message, and the level of warnings and errors."""

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname} " if record.levelno >= logging.WARNING else ""
        time: Any = self.formatTime(record, "%H:%M:%S")
        text = f"{time} {level}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text
