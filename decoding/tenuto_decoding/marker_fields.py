"""Markers as an operator describes them: the fields of `ThinkingMarkers` by name, from options, TOML or JSON."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from .errors import UnknownMarkers
from .markers import ThinkingMarkers

_HINTS = get_type_hints(ThinkingMarkers)

#: Names of all fields, in the order of the class.
MARKER_FIELDS = tuple(field.name for field in fields(ThinkingMarkers))


def read_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The given fields, each as `ThinkingMarkers` has it; without those that are None.

    Lists become tuples, and `off_switch` may be a mapping, so what `json` or `tomllib` return is accepted, and so is
    `dataclasses.asdict` of the markers themselves.

    Raises:
        UnknownMarkers: naming the first wrong field.
    """
    read = {}
    for name, value in given.items():
        if name not in _HINTS:
            raise UnknownMarkers(f"{name}: is not one of {', '.join(MARKER_FIELDS)}")
        if value is not None:
            read[name] = _READERS[_HINTS[name]](name, value)
    return read


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UnknownMarkers(f"{name}: {value!r} is not a text")
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) and text for text in value):
        raise UnknownMarkers(f"{name}: {value!r} is not a list of texts, none of them empty")
    return tuple(value)


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UnknownMarkers(f"{name}: {value!r} is neither true nor false")
    return value


def _variables(name: str, value: Any) -> tuple[tuple[str, str | int | bool], ...]:
    pairs = value.items() if isinstance(value, Mapping) else value
    try:
        variables = tuple((variable, setting) for variable, setting in pairs)
    except (TypeError, ValueError):
        variables = ((None, None),)
    if not all(isinstance(variable, str) and isinstance(setting, str | int) for variable, setting in variables):
        raise UnknownMarkers(f"{name}: {value!r} is not a table of the template's variables, each a text or a number")
    return variables


_READERS: Mapping[Any, Any] = {
    str: _text,
    tuple[str, ...]: _texts,
    bool: _switch,
    bool | None: _switch,
    tuple[tuple[str, str | int | bool], ...]: _variables,
}
