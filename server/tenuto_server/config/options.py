"""Options for operating a server: API keys, limits and logs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tenuto_decoding.budget import MAX_WAITS

from ..errors import StartupError
from .limits import DEFAULT_BODY_SECONDS, DEFAULT_MAX_BODY_BYTES, DEFAULT_MAX_N, Limits

#: Default of `--max-queued-requests`, for each sequence that the engine can run at once.
_WAITING_PER_RUNNING = 4
_UNBOUNDED = -1


def flag(default: Any, parse: Callable[[str], Any], metavar: str, text: str, **more: Any) -> Any:
    """A field that is a command-line flag."""
    return field(default=default, metadata={"type": parse, "metavar": metavar, "help": text, **more})


def _switch(text: str) -> Any:
    return field(default=False, metadata={"action": "store_true", "help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingOptions:
    """Each field is a flag of the same name; help, type and default are read from here."""

    api_key_file: str | None = flag(
        None,
        str,
        "FILE",
        "API keys, one per line; # starts a comment. Keys also come from --api-key and from the environment.",
    )
    public_metrics: bool = _switch("Serve /metrics without an API key.")
    public_docs: bool = _switch("Serve the API's documentation without an API key.")
    no_playground: bool = _switch("Do not serve the playground, which is the page at /.")
    max_queued_requests: int | None = flag(
        None,
        int,
        "N",
        "How many requests may wait in addition to those that run (--max-num-seqs); one with n replies counts n times. "
        f"Further requests get a 503. {_UNBOUNDED}: no limit. Default: {_WAITING_PER_RUNNING} for each that can run.",
    )
    max_body_bytes: int = flag(DEFAULT_MAX_BODY_BYTES, int, "BYTES", "The largest request body.")
    body_timeout: float = flag(
        DEFAULT_BODY_SECONDS, float, "SECONDS", "How long a request body may take to arrive. Slower ones get a 408."
    )
    max_n: int = flag(DEFAULT_MAX_N, int, "N", "The most replies (n) to one prompt.")
    max_num_waits: int = flag(MAX_WAITS, int, "N", "The most waits (num_waits) in one reply.")
    max_output_tokens: int | None = flag(
        None,
        int,
        "N",
        "The most tokens that a request may ask for, and the default for requests that set no limit. Default: what the "
        "context leaves.",
    )

    log_format: str = flag(
        "text",
        str,
        "FORMAT",
        "`text`, or `json`: one object per line, for uvicorn's and vLLM's messages too.",
        choices=("text", "json"),
    )
    log_texts: bool = _switch("Log prompts and replies as well. They may be confidential.")
    log_file: str | None = flag(
        None,
        str,
        "FILE",
        "Where vLLM's full log goes; an existing file is continued. Default: a new file in the temporary directory.",
    )
    verbose: bool = _switch("Show vLLM's full log on the terminal instead of writing it to a file.")

    def __post_init__(self) -> None:
        for name, least in (("max_body_bytes", 1), ("max_n", 1), ("max_num_waits", 0), ("max_output_tokens", 1)):
            _check_least(name, getattr(self, name), least)
        if not 0 < self.body_timeout < float("inf"):
            raise StartupError(f"--body-timeout: {self.body_timeout} is not a number of seconds above 0")
        _check_least("max_queued_requests", self.max_queued_requests, _UNBOUNDED)
        if self.verbose and self.log_file is not None:
            raise StartupError(f"--log-file: {self.log_file} would stay empty: --verbose shows the log on the terminal")

    def limits(self, *, fetches_media: bool) -> Limits:
        """The limits for one request."""
        return Limits(
            body_bytes=self.max_body_bytes,
            body_seconds=self.body_timeout,
            n=self.max_n,
            num_waits=self.max_num_waits,
            output_tokens=self.max_output_tokens,
            fetches_media=fetches_media,
        )

    def capacity(self, running: int) -> int | None:
        """How many sequences are accepted at once if `running` of them can run; None for no limit."""
        if self.max_queued_requests == _UNBOUNDED:
            return None
        waiting = _WAITING_PER_RUNNING * running if self.max_queued_requests is None else self.max_queued_requests
        return running + waiting


def _check_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise StartupError(f"--{name.replace('_', '-')}: {value} is below {least}")
