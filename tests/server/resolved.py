"""Resolved budgets as tests need them: compiled for a family, with the reply's phase read from a prompt."""

from collections.abc import Sequence
from typing import Any

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.families import FAMILIES
from tenuto_decoding.plan import compile_plan
from tenuto_decoding.prompt import initial_phase
from tenuto_server.budgets.resolution import ResolvedBudget


def resolved(
    tokenizer: Any, budget: ThinkingBudget | None = None, prompt: Sequence[int] = (), *, family: str = "s1"
) -> ResolvedBudget:
    """The budget as `ThinkingPolicy.resolve` compiles it, set by nothing in particular."""
    plan = compile_plan(budget, FAMILIES[family], tokenizer)
    return ResolvedBudget(plan, budget, initial_phase(plan, prompt), prompt[-1] if prompt else None)
