"""Structured output and thinking: where the grammar begins, and which requests need a budget for it to begin at all.

A grammar begins where the thinking ends. A model that never thought would never come under it, and one that ended its
reply while thinking would have left it out. So thinking that is open, or that this model opens, gets a budget without
bounds where the request has none: then it is certain to be opened, and closed. Where nothing opens it, the grammar
begins with the first token.

After the thinking, a grammar may allow its markers as text. `bad_words` keeps the model from writing the opener then,
and all along: with a grammar, only the budget opens the thinking.
"""

from collections.abc import Sequence
from enum import Enum, auto

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.errors import InvalidBudget
from tenuto_decoding.markers import ThinkingMarkers, Tokenizer
from tenuto_decoding.plan import ThinkingPlan
from tenuto_decoding.prompt import Phase


class GrammarStart(Enum):
    """What decides where a grammar begins, for all requests to a server."""

    OUR_MARKERS = auto()  # our reasoning parser: grammar and budget see the thinking end at the same token
    ANOTHER_PARSER = auto()  # a reasoning parser of vLLM's
    FIRST_TOKEN = auto()  # the grammar covers the thinking too (enable_in_reasoning)


def check_grammar_start(budget: ThinkingBudget | None, start: GrammarStart) -> None:
    """Refuse a budget together with a grammar that covers the thinking. Raises InvalidBudget."""
    if budget is not None and start is GrammarStart.FIRST_TOKEN:
        raise InvalidBudget(
            next(iter(budget.to_dict())),
            "this server's grammars cover the thinking too (enable_in_reasoning in --structured-outputs-config), "
            "so no budget can be kept in a request with structured output",
        )


def budget_with_grammar(
    budget: ThinkingBudget | None, phase: Phase, *, opens_thinking: bool
) -> tuple[ThinkingBudget | None, bool]:
    """The budget that a request with a grammar runs under, and whether the grammar begins with the first token.

    Args:
        budget: what the request has without regard to the grammar.
        phase: in which the reply begins.
        opens_thinking: whether the model opens its thinking on its own, in a reply that begins before it.
    """
    if phase is Phase.ANSWER:
        return budget, True
    if budget is None and phase is Phase.BEFORE and not opens_thinking:
        return None, True
    return budget or ThinkingBudget(), False


def opens_thinking(
    markers: ThinkingMarkers, tokenizer: Tokenizer, counting: ThinkingPlan, prompt: Sequence[int]
) -> bool:
    """Whether the model opens its thinking on its own: its chat template names the marker, and the prompt is a chat.

    Many models without thinking have the markers in their vocabulary, and ChatML's are not specific to thinking. A text
    to be continued has no control tokens except at its beginning.
    """
    in_template = markers.start in str(getattr(tokenizer, "chat_template", None) or "")
    return in_template and not counting.boundaries.isdisjoint(prompt[1:])
