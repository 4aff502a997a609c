"""Budgets of requests that ask for nothing, and what an effort means: for the server, and for single models."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tenuto_decoding.budget import FIELDS, ThinkingBudget
from tenuto_decoding.errors import InvalidBudget

from ..errors import StartupError
from .request_fields import AUTO, CAP, EFFORTS, UNLIMITED

Fields = Mapping[str, Any]

#: What every server caps thinking with where neither the request nor the operator says anything: room for an answer. It
#: yields to whatever it cannot be kept together with, and opens no thinking.
BUILT_IN: Fields = {CAP: AUTO}

#: What the efforts of OpenAI's API mean where the server's table says nothing else.
EFFORT_CAPS: Mapping[str, Fields] = {
    "none": {CAP: 0},
    "minimal": {CAP: 512},
    "low": {CAP: 1024},
    "medium": {CAP: 4096},
    "high": {CAP: 16384},
    "xhigh": {CAP: 32768},
    "max": {CAP: UNLIMITED},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Budgets that the operator configures, and the built-in one for where there is none.

    Attributes:
        budget: budget fields for requests that do not give them.
        efforts: budget fields by `reasoning_effort`.
        models: fields and efforts of single models, by served name; they take precedence over the server's.
        built_in: fields that neither requests nor the operator give: `BUILT_IN`.
    """

    budget: Fields = field(default_factory=dict)
    efforts: Mapping[str, Fields] = field(default_factory=lambda: EFFORT_CAPS)
    models: Mapping[str, "Defaults"] = field(default_factory=dict)
    built_in: Fields = field(default_factory=dict)

    @classmethod
    def from_options(cls, budget: Fields, efforts: Fields, file: Path | None) -> Self:
        """The defaults of a command line: single options take precedence over the file, a model's entries over both.

        Raises:
            StartupError: naming the option or the file's entry.
        """
        given = {name: _effort_fields(f"--reasoning-effort-tokens {name}", name, cap) for name, cap in efforts.items()}
        _check("--default-...", budget)
        content = {} if file is None else _read(file)
        server = _section(f"{file}: ", content, models=True)
        models = {}
        for name, entries in _table(f"{file}: models", content.get("models", {})).items():
            part = _section(f"{file}: models.{name}.", _table(f"{file}: models.{name}", entries))
            models[name] = cls(budget=part[0], efforts=part[1])
        return cls(
            budget={**server[0], **budget},
            efforts={**EFFORT_CAPS, **server[1], **given},
            models=models,
            built_in=BUILT_IN,
        )

    def budget_of(self, model: str | None) -> Fields:
        """The budget fields for requests to a model that do not give them."""
        own = self.models.get(model or "")
        return {**self.budget, **own.budget} if own else self.budget

    def effort_of(self, model: str | None, effort: str | None) -> Fields:
        """The budget fields that an effort means; none for an effort that is in no table."""
        own = self.models.get(model or "")
        if effort is None:
            return {}
        return own.efforts.get(effort) or self.efforts.get(effort, {}) if own else self.efforts.get(effort, {})

    def efforts_of(self, model: str | None) -> dict[str, Fields]:
        """The table of efforts for requests to a model."""
        own = self.models.get(model or "")
        return {name: dict(fields) for name, fields in {**self.efforts, **(own.efforts if own else {})}.items()}

    @property
    def bounds_thinking(self) -> bool:
        """Whether the operator bounds the thinking of some request that asks for nothing."""
        return is_bounded(self.budget) or any(is_bounded(own.budget) for own in self.models.values())

    def budgets(self) -> Iterator[ThinkingBudget]:
        """Every configured budget, for a check before the model is loaded."""
        for part in (self, *self.models.values()):
            for fields in (part.budget, *part.efforts.values()):
                yield _budget(fields)


def is_bounded(fields: Fields) -> bool:
    """Whether the fields bound anything: texts alone do not."""
    cap = fields.get(CAP)
    return cap not in (None, UNLIMITED) or any(
        fields.get(name) for name in ("min_thinking_tokens", "num_waits", "loop_tokens")
    )


def _budget(fields: Fields) -> ThinkingBudget:
    """The fields as a budget, without a cap that is a word: its number depends on the request."""
    if isinstance(fields.get(CAP), str):
        fields = {name: value for name, value in fields.items() if name not in (CAP, "landing_tokens")}
    return ThinkingBudget(**fields)


def _check(where: str, fields: Fields) -> None:
    try:
        for name in fields:
            if name not in FIELDS:
                raise InvalidBudget(name, f"is not one of {', '.join(FIELDS)}")
        cap = fields.get(CAP)
        if isinstance(cap, str) and cap not in (AUTO, UNLIMITED):
            raise InvalidBudget(CAP, f'{cap!r} is neither a number nor "{AUTO}" nor "{UNLIMITED}"')
        _budget(fields)
    except InvalidBudget as error:
        raise StartupError(f"{where}: {error}") from error


def _effort_fields(where: str, effort: str, value: object) -> Fields:
    if effort not in EFFORTS:
        raise StartupError(f"{where}: {effort!r} is not one of {', '.join(EFFORTS)}")
    fields = value if isinstance(value, dict) else {CAP: value}
    _check(where, fields)
    return fields


def _read(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise StartupError(f"--thinking-defaults {file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartupError(f"--thinking-defaults {file}: {error}") from error


def _section(where: str, content: Mapping[str, Any], *, models: bool = False) -> tuple[Fields, Mapping[str, Fields]]:
    known = ("default", "reasoning_effort", *(("models",) if models else ()))
    for name in content:
        if name not in known:
            raise StartupError(f"{where}{name}: is not one of {', '.join(known)}")
    budget = _table(f"{where}default", content.get("default", {}))
    _check(f"{where}default", budget)
    efforts = _table(f"{where}reasoning_effort", content.get("reasoning_effort", {}))
    return budget, {
        name: _effort_fields(f"{where}reasoning_effort.{name}", name, value) for name, value in efforts.items()
    }


def _table(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise StartupError(f"{where}: {value!r} is not a table")
    return value
