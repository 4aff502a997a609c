"""Options that say how the model marks its thinking, where that cannot be detected or is detected wrongly."""

import tomllib
from argparse import BooleanOptionalAction
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenuto_decoding import FAMILIES
from tenuto_decoding.errors import UnknownMarkers
from tenuto_decoding.marker_fields import read_fields

from ..errors import StartupError
from .options import flag

#: For each field of `ThinkingMarkers` that has an option of its own, the option.
_OPTIONS = {
    "family": "thinking_family",
    "start": "thinking_start_marker",
    "end": "thinking_end_marker",
    "also_ends": "thinking_also_ends",
    "stops": "thinking_stops",
    "answer_prefix": "thinking_answer_prefix",
    "shared_start": "thinking_shared_start",
    "opens": "thinking_opens",
}


def _either(text: str) -> Any:
    """An option with a negative form; None where neither is given."""
    return field(default=None, metadata={"action": BooleanOptionalAction, "help": text})


@dataclass(frozen=True, kw_only=True)  # no slots: `ServeConfig` has another base that has them
class MarkerOptions:
    """Each field is a flag of the same name. What is not given comes from the family, or is detected."""

    thinking_family: str | None = flag(
        None,
        str,
        "FAMILY",
        f"How the model marks its thinking: {', '.join(FAMILIES)}. "
        "Default: detected; `tenuto markers MODEL` shows what and why.",
    )
    thinking_start_marker: str | None = flag(
        None,
        str,
        "TEXT",
        "Text that opens thinking, for a model of an unknown family; needs the end marker too.",
    )
    thinking_end_marker: str | None = flag(None, str, "TEXT", "Text that closes thinking.")
    thinking_also_ends: tuple[str, ...] | None = flag(
        None, str, "TEXT", "Other texts by which the model leaves its thinking: openers of tool calls.", nargs="+"
    )
    thinking_stops: tuple[str, ...] | None = flag(
        None,
        str,
        "TOKEN",
        "Tokens that end a reply, in addition to the tokenizer's own and those of the model's generation config.",
        nargs="+",
    )
    thinking_answer_prefix: str | None = flag(
        None, str, "TEXT", "Text forced after the end marker when the cap closes the thinking."
    )
    thinking_shared_start: bool | None = _either(
        "Whether the first token of the start marker opens other things too, as in gpt-oss."
    )
    thinking_opens: bool | None = _either(
        "Whether the model opens its thinking on its own after a prompt that has not opened it."
    )
    thinking_markers: str | None = flag(
        None,
        str,
        "FILE",
        "TOML file that describes the markers completely; options take precedence. See docs/operations.md.",
    )

    def read_markers(self) -> dict[str, Any]:
        """The fields of `ThinkingMarkers` that are given, by options or in the file.

        Raises:
            StartupError: naming the option or the file's entry.
        """
        given = {} if self.thinking_markers is None else _read(Path(self.thinking_markers))
        for name, option in _OPTIONS.items():
            given |= _checked(f"--{option.replace('_', '-')}", {name: getattr(self, option)})
        if ("start" in given) != ("end" in given) or not given.get("start", True) or not given.get("end", True):
            raise StartupError(
                "--thinking-start-marker, --thinking-end-marker: give both, neither of them empty; given are "
                f"{given.get('start')!r} and {given.get('end')!r}"
            )
        if "start" not in given and given.get("family", "s1") not in FAMILIES:
            where = (
                "--thinking-family" if self.thinking_family else f"--thinking-markers {self.thinking_markers}: family"
            )
            raise StartupError(
                f"{where}: {given['family']!r} is not one of {', '.join(FAMILIES)}; for another, give its markers"
            )
        return given


def _read(file: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text())
    except OSError as error:
        raise StartupError(f"--thinking-markers {file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartupError(f"--thinking-markers {file}: {error}") from error
    return _checked(f"--thinking-markers {file}", content)


def _checked(where: str, content: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return read_fields(content)
    except UnknownMarkers as error:
        raise StartupError(f"{where}: {error}") from error
