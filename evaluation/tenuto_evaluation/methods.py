"""Methods: the budget that all requests of one run carry; sweeps: the runs that one table and one plot show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict


class Budget(TypedDict, total=False):
    """The budget fields of a request; those that are absent are not sent."""

    max_thinking_tokens: int
    num_waits: int


@dataclass(frozen=True)
class Method:
    """One run. `limit` is the thinking that it should stay within, None for any."""

    label: str
    budget: Budget
    limit: int | None = None


@dataclass(frozen=True)
class Sweep:
    """Several runs. `name` is its file name; `column` says what a label counts."""

    name: str
    title: str
    column: str
    methods: tuple[Method, ...]


def waits_sweep(waits: Sequence[int]) -> Sweep:
    """Sequential scaling: the end of thinking is put off so many times, with no cap."""
    methods = tuple(Method(str(count), {"num_waits": count}) for count in waits)
    return Sweep("waits", "Attempts to stop turned into Wait", "waits", methods)


def caps_sweep(caps: Sequence[int], num_waits: int) -> Sweep:
    """Thinking is cut at each cap; `num_waits` makes the model use the room."""
    # Without thinking there is nothing to wait in, and the server refuses waits.
    budgets: tuple[Budget, ...] = tuple(
        {"max_thinking_tokens": cap, "num_waits": num_waits} if cap else {"max_thinking_tokens": 0} for cap in caps
    )
    methods = tuple(Method(str(cap), budget, cap) for cap, budget in zip(caps, budgets, strict=True))
    return Sweep("caps", f"Thinking cut at a cap (num_waits {num_waits})", "cap", methods)
