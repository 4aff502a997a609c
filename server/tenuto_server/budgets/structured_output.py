"""Structured output beside thinking: where its grammar begins, and when it takes a budget for it to begin at all."""

from collections.abc import Sequence

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.markers import ThinkingMarkers, Tokenizer
from tenuto_decoding.plan import ThinkingPlan
from tenuto_decoding.prompt import Phase, initial_phase


def supervised(
    budget: ThinkingBudget | None, counting: ThinkingPlan, prompt: Sequence[int], *, thinks: bool
) -> tuple[ThinkingBudget | None, bool]:
    """The budget that a request with a grammar runs under, and whether the grammar is at work from its first token.

    A grammar begins where the thinking ends. A model that never thought would never come under it, and one that ended
    its reply while thinking would have left it out. So thinking that is open, or that this model opens, gets a budget
    without bounds where the request has none: then it is opened for certain, and closed. Where nothing opens it, the
    grammar begins with the first token.

    Behind the thinking, a grammar may allow its markers as text. The opener must be kept from the model then, which
    `bad_words` does all along: with a grammar, nobody but the budget opens the thinking.

    Args:
        budget: what the request has anyway.
        counting: a plan of the model's markers.
        prompt: the token ids that the reply follows.
        thinks: whether the model opens its thinking by itself.
    """
    phase = initial_phase(counting, prompt)
    if phase is Phase.ANSWER:
        return budget, True
    if budget is None and phase is Phase.BEFORE and not (thinks and _has_turns(counting, prompt)):
        return None, True
    return budget or ThinkingBudget(), False


def thinks_by_itself(markers: ThinkingMarkers, tokenizer: Tokenizer) -> bool:
    """Whether the chat template speaks of the marker that opens thinking.

    Many models without thinking have the markers in their vocabulary, and ChatML's are anybody's.
    """
    return markers.start in str(getattr(tokenizer, "chat_template", None) or "")


def _has_turns(counting: ThinkingPlan, prompt: Sequence[int]) -> bool:
    """Whether the prompt is a chat; a text to be continued has no control tokens but one at its beginning."""
    return not counting.boundaries.isdisjoint(prompt[1:])
