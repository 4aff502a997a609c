"""Options of a server in operation: who may come in, and how much may be asked of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


def _option(default: Any, parse: Callable[[str], Any], metavar: str, text: str) -> Any:
    return field(default=default, metadata={"type": parse, "metavar": metavar, "help": text})


def _switch(text: str) -> Any:
    return field(default=False, metadata={"action": "store_true", "help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingOptions:
    """Each field is a flag of the same name; help, type and default are read from here."""

    api_key_file: str | None = _option(
        None,
        str,
        "FILE",
        "API keys, one a line; # starts a comment. Keys also come from --api-key and the environment.",
    )
    public_metrics: bool = _switch("Give /metrics without an API key.")
    public_docs: bool = _switch("Give /docs and /openapi.json without an API key.")
