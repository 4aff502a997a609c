"""A method is the budget of all requests of one run; a sweep is the runs of one table and one plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict


class MethodBudget(TypedDict, total=False):
    """The budget fields of a request; absent fields are not sent."""

    max_thinking_tokens: int | Literal["unlimited"]
    num_waits: int


@dataclass(frozen=True)
class Method:
    """The budget of one run. `limit`: thinking tokens that the run should not exceed, or None."""

    label: str
    budget: MethodBudget
    limit: int | None = None


@dataclass(frozen=True)
class Sweep:
    """Several runs. `name` is used in file names; `column` says what the labels of the methods are."""

    name: str
    title: str
    column: str
    methods: tuple[Method, ...]


def waits_sweep(waits: Sequence[int]) -> Sweep:
    """Return the sweep of sequential scaling: one run for each number of waits, without any cap of the server's."""
    methods = tuple(Method(str(count), {"max_thinking_tokens": "unlimited", "num_waits": count}) for count in waits)
    return Sweep("waits", "Attempts to stop turned into Wait", "waits", methods)


def caps_sweep(caps: Sequence[int], num_waits: int) -> Sweep:
    """Return one run for each cap; `num_waits` makes the model think up to it."""
    # With a cap of 0 there is no thinking, and the server rejects waits.
    budgets: tuple[MethodBudget, ...] = tuple(
        {"max_thinking_tokens": cap, "num_waits": num_waits} if cap else {"max_thinking_tokens": 0} for cap in caps
    )
    methods = tuple(Method(str(cap), budget, cap) for cap, budget in zip(caps, budgets, strict=True))
    return Sweep("caps", f"Thinking cut at a cap (num_waits {num_waits})", "cap", methods)
