"""Options of a server in operation: who may come in, and how much may be asked of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tenuto_decoding.budget import MAX_WAITS

from ..errors import StartupError
from .limits import DEFAULT_BODY_SECONDS, DEFAULT_MAX_BODY_BYTES, DEFAULT_MAX_N, Limits

#: Sequences that may wait for each one that the engine can run at once, unless an option says otherwise.
_WAITING_PER_RUNNING = 4
_UNBOUNDED = -1


def flag(default: Any, parse: Callable[[str], Any], metavar: str, text: str, **more: Any) -> Any:
    """A field that is a flag of the command line."""
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
        "API keys, one a line; # starts a comment. ApiKeys also come from --api-key and the environment.",
    )
    public_metrics: bool = _switch("Give /metrics without an API key.")
    public_docs: bool = _switch("Give /docs and /openapi.json without an API key.")
    max_queued_requests: int | None = flag(
        None,
        int,
        "N",
        "How many requests may wait beyond those that run (--max-num-seqs); one with n replies counts n times. More "
        f"get a 503. {_UNBOUNDED}: any number. Without it, {_WAITING_PER_RUNNING} for each that can run.",
    )
    max_body_bytes: int = flag(DEFAULT_MAX_BODY_BYTES, int, "BYTES", "The largest body of a request.")
    body_timeout: float = flag(
        DEFAULT_BODY_SECONDS, float, "SECONDS", "How long the body of a request may take to come. Later ones get a 408."
    )
    max_n: int = flag(DEFAULT_MAX_N, int, "N", "The most replies (n) to one prompt.")
    max_num_waits: int = flag(MAX_WAITS, int, "N", "The most waits (num_waits) in one reply.")
    max_output_tokens: int | None = flag(
        None,
        int,
        "N",
        "The most tokens that a request may ask for, and what one gets that does not say. Without it, what the context "
        "leaves.",
    )

    log_format: str = flag(
        "text",
        str,
        "FORMAT",
        "`text`, or `json`: one object a line, also of uvicorn and vLLM.",
        choices=("text", "json"),
    )
    log_texts: bool = _switch("Log prompts and replies as well. They are what people wrote in confidence.")

    def __post_init__(self) -> None:
        for name, least in (("max_body_bytes", 1), ("max_n", 1), ("max_num_waits", 0), ("max_output_tokens", 1)):
            _check_least(name, getattr(self, name), least)
        if not 0 < self.body_timeout < float("inf"):
            raise StartupError(f"--body-timeout: {self.body_timeout} is not a number of seconds above 0")
        _check_least("max_queued_requests", self.max_queued_requests, _UNBOUNDED)

    def limits(self, *, fetches_media: bool) -> Limits:
        """What one request may ask for."""
        return Limits(
            body_bytes=self.max_body_bytes,
            body_seconds=self.body_timeout,
            n=self.max_n,
            num_waits=self.max_num_waits,
            output_tokens=self.max_output_tokens,
            fetches_media=fetches_media,
        )

    def capacity(self, running: int) -> int | None:
        """How many sequences are taken at once where so many can run; None for any number."""
        if self.max_queued_requests == _UNBOUNDED:
            return None
        waiting = _WAITING_PER_RUNNING * running if self.max_queued_requests is None else self.max_queued_requests
        return running + waiting


def _check_least(name: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise StartupError(f"--{name.replace('_', '-')}: {value} is below {least}")
