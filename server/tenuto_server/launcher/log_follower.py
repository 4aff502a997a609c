"""Follows the log file for what the engine's processes write there: warnings and errors, and how far loading is."""

import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.2
#: The size at which the file is copied to FILE.1 and emptied. All processes append, so they continue at its new end.
_MAX_BYTES = 64 * 2**20

#: A line of vLLM's log, with the process that wrote it.
_LINE = re.compile(
    r"\((?P<process>[^()]+) pid=(?P<pid>\d+)\) (?P<level>[A-Z]+) \S+ (?P<time>\S+) \[[^]]*\] ?(?P<message>.*)"
)

#: Warnings that are true of every such server, or that the operator cannot do anything about.
NOISE = re.compile(
    r"Enforce eager set, disabling torch.compile"  # our default for the built-in model, or the operator's choice
    r"|Inductor compilation was disabled by user settings"  # follows from it
    r"|TORCH_COMPILE_DISABLE is set"  # by the image without a compiler, or by the operator
    r"|Triton is not installed. triton-cpu is expected"  # triton-cpu is not on the package index
    r"|Model Runner V2 requires Triton; using the V1"  # so on a CPU the first runner is used, which is fine
    r"|Found ulimit of \d{5,} and failed"  # 10,000 open files and more are enough
    r"|Executor: workers still running after grace period"  # at the end; they are then stopped
)

#: For the built-in model, whose speed is no concern, also advice on speed.
NOISE_OF_BUILT_IN = re.compile(rf"{NOISE.pattern}|is not found in LD_PRELOAD")

#: What is written when a stage of loading begins.
_STAGES = (
    ("Thinking: family ", "starting the engine"),  # by `engine_startup`, once it has read the configuration
    ("Starting to load model", "loading the weights"),
    ("Loading weights took", "preparing the model"),
    ("Dynamo bytecode transform", "compiling the model"),
    ("Compiling a graph", "compiling the model"),
    ("Graph capturing", "capturing CUDA graphs"),
    ("Capturing CUDA graphs", "capturing CUDA graphs"),
    ("KV cache size", "warming up"),
    ("Warming up model", "warming up"),
    ("init engine (profile", "finishing"),
)


@dataclass(frozen=True, slots=True)
class EngineLine:
    """A line of vLLM's log.

    Attributes:
        process: its name.
        pid: of the process.
        text: the whole line, as it is in the file.
    """

    process: str
    pid: int
    level: str
    time: str
    message: str
    text: str

    @classmethod
    def parse(cls, line: str) -> "EngineLine | None":
        """The parts of a line in vLLM's text or JSON format; None for anything else."""
        if line.startswith("{"):
            try:
                fields: dict[str, Any] = json.loads(line)
                return cls(fields["processName"], fields["process"], fields["levelname"], "", fields["message"], line)
            except (ValueError, KeyError):
                return None
        found = _LINE.search(line)
        if found is None:
            return None
        return cls(found["process"], int(found["pid"]), found["level"], found["time"], found["message"], line)


class LogFollower:
    """Reads the log file as it grows, in a thread.

    Args:
        path: the log file.
        noise: warnings to leave out.
        show: called for each warning or error of another process.
        enter_stage: called when a stage of loading begins.
    """

    def __init__(
        self,
        path: Path,
        noise: re.Pattern[str],
        show: Callable[[EngineLine], None],
        enter_stage: Callable[[str], None],
    ) -> None:
        self._path, self._noise, self._show, self._enter_stage = path, noise, show, enter_stage
        self._file = path.open("rb")
        self._file.seek(0, os.SEEK_END)
        self._partial = b""
        self._seen: set[str] = set()
        self.is_loading = True
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="log-follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read what is left and stop."""
        self._ended.set()
        self._thread.join(timeout=5)

    def _follow(self) -> None:
        while True:
            is_last = self._ended.wait(_POLL_SECONDS)
            self._read()
            if is_last:
                return

    def _read(self) -> None:
        *lines, self._partial = (self._partial + self._file.read()).split(b"\n")
        for line in lines:
            self._take(line.decode(errors="replace").rstrip("\r"))
        if self._file.tell() > _MAX_BYTES:
            self._start_again()

    def _take(self, text: str) -> None:
        if self.is_loading:
            for beginning, stage in _STAGES:
                if beginning in text:
                    self._enter_stage(stage)
        line = EngineLine.parse(text)
        if line is None or line.pid == os.getpid() or line.level not in ("WARNING", "ERROR", "CRITICAL"):
            return
        if line.level == "WARNING":
            if self._noise.search(line.message) or (self.is_loading and line.message in self._seen):
                return
            if self.is_loading:
                self._seen.add(line.message)
        self._show(line)

    def _start_again(self) -> None:
        """Copy the file to FILE.1 and empty it. What is written between these two steps is lost."""
        shutil.copyfile(self._path, self._path.with_name(f"{self._path.name}.1"))
        os.truncate(self._path, 0)
        self._file.seek(0)
