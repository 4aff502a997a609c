"""Where the grammar of an answer begins, and which requests get a budget so that it begins at all."""

from typing import Any

import pytest

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.errors import InvalidBudget
from tenuto_decoding.families import FAMILIES
from tenuto_decoding.plan import compile_plan
from tenuto_decoding.prompt import initial_phase
from tenuto_server.budgets.structured_output import (
    GrammarStart,
    budget_with_grammar,
    check_grammar_start,
    opens_thinking,
)

CHAT = "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"
CAP = ThinkingBudget(max_thinking_tokens=9)
BOUNDLESS = ThinkingBudget()


@pytest.mark.parametrize(
    ("prompt", "budget", "in_template", "expected"),
    [
        (CHAT, CAP, True, (CAP, False)),
        (CHAT, CAP, False, (CAP, False)),
        (CHAT, None, True, (BOUNDLESS, False)),
        (CHAT, None, False, (None, True)),  # nothing would ever open the thinking that the grammar waits for
        ("a text to continue", None, True, (None, True)),  # not a chat, so no template of a thinking model
        (f"{CHAT}<think>\n", None, False, (BOUNDLESS, False)),
        (f"{CHAT}<think>\n\n</think>\n\n", None, True, (None, True)),
        (f"{CHAT}<think>\n\n</think>\n\n", CAP, True, (CAP, True)),
    ],
)
def test_a_grammar_begins_where_thinking_ends_or_at_once(
    thinker: Any, prompt: str, budget: ThinkingBudget | None, in_template: bool, expected: Any
) -> None:
    markers, ids = FAMILIES["think"], thinker.encode(prompt)
    counting = compile_plan(None, markers, thinker)
    opens = in_template and opens_thinking(markers, thinker, ids)
    assert budget_with_grammar(budget, initial_phase(counting, ids), opens_thinking=opens) == expected


def test_a_model_opens_thinking_on_its_own_if_its_template_names_the_marker(thinker: Any, chatml: Any) -> None:
    for family, tokenizer, expected in (("think", thinker, True), ("s1", chatml, False)):
        assert opens_thinking(FAMILIES[family], tokenizer, tokenizer.encode(CHAT)) is expected


def test_a_budget_with_a_grammar_that_covers_the_thinking_is_refused() -> None:
    check_grammar_start(None, GrammarStart.FIRST_TOKEN)
    check_grammar_start(CAP, GrammarStart.OUR_MARKERS)
    with pytest.raises(InvalidBudget, match="max_thinking_tokens: this server's grammars cover the thinking too"):
        check_grammar_start(CAP, GrammarStart.FIRST_TOKEN)
