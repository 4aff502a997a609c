"""Where the grammar of an answer begins, and which requests get a budget so that it begins at all."""

from typing import Any

import pytest

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.markers import FAMILIES
from tenuto_decoding.plan import compile_plan
from tenuto_server.budgets.structured_output import supervised, thinks_by_itself

CHAT = "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"
CAP = ThinkingBudget(max_thinking_tokens=9)
BOUNDLESS = ThinkingBudget()


@pytest.mark.parametrize(
    ("prompt", "budget", "thinks", "expected"),
    [
        (CHAT, CAP, True, (CAP, False)),
        (CHAT, CAP, False, (CAP, False)),
        (CHAT, None, True, (BOUNDLESS, False)),
        (CHAT, None, False, (None, True)),  # nobody would ever open the thinking that the grammar waits for
        ("a text to go on with", None, True, (None, True)),  # no chat, so no template of a thinking model
        (f"{CHAT}<think>\n", None, False, (BOUNDLESS, False)),
        (f"{CHAT}<think>\n\n</think>\n\n", None, True, (None, True)),
        (f"{CHAT}<think>\n\n</think>\n\n", CAP, True, (CAP, True)),
    ],
)
def test_a_grammar_begins_where_thinking_ends_or_at_once(
    thinker: Any, prompt: str, budget: ThinkingBudget | None, thinks: bool, expected: Any
) -> None:
    counting = compile_plan(None, FAMILIES["think"], thinker)
    assert supervised(budget, counting, thinker.encode(prompt), thinks=thinks) == expected


def test_a_model_thinks_by_itself_if_its_template_speaks_of_it(thinker: Any, chatml: Any) -> None:
    assert thinks_by_itself(FAMILIES["think"], thinker)
    assert not thinks_by_itself(FAMILIES["s1"], chatml)
