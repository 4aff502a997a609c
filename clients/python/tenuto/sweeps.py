"""One prompt under several budgets: which requests a sweep sends, and what it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tenuto.body import BUDGET_FIELDS, Body, Message, chat_body
from tenuto.errors import TenutoError
from tenuto.replies import Reply

#: A cap, or any fields of a budget.
Budget = int | Literal["auto", "unlimited"] | Mapping[str, Any]

DEFAULT_CONCURRENCY = 4
_SWEPT = (*BUDGET_FIELDS, "reasoning_effort")


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """The reply under one budget, or the error in its place. `budget` holds the fields that were sent for it."""

    budget: Body
    reply: Reply | None = None
    error: TenutoError | None = None


def sweep_bodies(
    messages: str | Sequence[Message], budgets: Sequence[Budget], fields: Mapping[str, Any]
) -> list[tuple[Body, Body]]:
    """Return the fields of each budget, and the body of its request.

    Raises ValueError without budgets, and for a field of a budget that is unknown or is in `fields` too: all before
    anything is sent.
    """
    if not budgets:
        raise ValueError("budgets: is empty; give caps, such as [64, 256], or fields, such as [{'num_waits': 2}]")
    return [(budget, chat_body(messages, **fields, **budget)) for budget in _checked(budgets, fields)]


def _checked(budgets: Sequence[Budget], fields: Mapping[str, Any]) -> list[Body]:
    found: list[Body] = [
        dict(budget) if isinstance(budget, Mapping) else {"max_thinking_tokens": budget} for budget in budgets
    ]
    for position, budget in enumerate(found):
        for name in budget:
            if name not in _SWEPT:
                raise ValueError(f"budgets[{position}]: {name!r} is not a field of a budget: {', '.join(_SWEPT)}")
            if name in fields:
                raise ValueError(f"budgets[{position}]: {name!r} is also given for all budgets; leave one of them out")
    return found


def at_least_one(name: str, value: int) -> int:
    """Return the value. Raises ValueError below 1."""
    if value < 1:
        raise ValueError(f"{name}: {value} is not at least 1")
    return value
