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
from tenuto_decoding.prompt import Phase

from .chat_prompts import is_chat


class GrammarStart(Enum):
    """What decides where a grammar begins, for all requests to a server."""

    OUR_MARKERS = auto()  # our reasoning parser: grammar and budget see the thinking end at the same token
    ANOTHER_PARSER = auto()  # a reasoning parser of vLLM's
    FIRST_TOKEN = auto()  # the grammar covers the thinking too (enable_in_reasoning)


def check_grammar_start(budget: ThinkingBudget | None, start: GrammarStart, phase: Phase) -> None:
    """Refuse a budget together with a grammar that covers the thinking. Raises InvalidBudget.

    A cap of 0 is kept where the prompt has closed the thinking: there is none that the grammar could cover.
    """
    if budget is None or (budget.max_thinking_tokens == 0 and phase is Phase.ANSWER):
        return
    if start is GrammarStart.FIRST_TOKEN:
        raise InvalidBudget(
            next(iter(budget.to_dict())),
            "this server's grammars cover the thinking too (enable_in_reasoning in --structured-outputs-config), "
            "so no budget can be kept in a request with structured output",
        )


def budget_with_grammar(
    budget: ThinkingBudget | None, phase: Phase, *, opens_thinking: bool, only_closes: bool = False
) -> tuple[ThinkingBudget | None, bool]:
    """The budget that a request with a grammar runs under, and whether the grammar begins with the first token.

    Args:
        budget: what the request has without regard to the grammar.
        phase: in which the reply begins.
        opens_thinking: whether the model opens its thinking on its own, in a reply that begins before it.
        only_closes: the budget is the built-in default: it changes nothing about where the grammar begins.
    """
    own = None if only_closes else budget
    if phase is Phase.ANSWER:
        return own, True
    if own is None and phase is Phase.BEFORE and not opens_thinking:
        return None, True
    return budget or ThinkingBudget(), False


def opens_thinking(markers: ThinkingMarkers, tokenizer: Tokenizer, prompt: Sequence[int]) -> bool:
    """Whether the model opens its thinking on its own after this prompt: it is known to, and the prompt is a chat.

    Where nothing shows whether it does, it does not: a model without thinking may have the markers in its vocabulary,
    and would be made to think by a grammar. One that does think then answers without, and in the form it was given.
    """
    return bool(markers.opens) and is_chat(tokenizer, prompt)
