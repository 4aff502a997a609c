"""Where the grammar of an answer begins, and which requests get a budget so that it begins at all."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from vllm.sampling_params import SamplingParams, StructuredOutputsParams

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.errors import InvalidBudget
from tenuto_decoding.families import FAMILIES
from tenuto_decoding.plan import compile_plan
from tenuto_decoding.prompt import Phase, initial_phase
from tenuto_server.budgets.request_fields import BudgetRequest
from tenuto_server.budgets.resolution import Generation, ThinkingPolicy
from tenuto_server.budgets.structured_output import (
    GrammarStart,
    budget_with_grammar,
    check_grammar_start,
    opens_thinking,
)
from tenuto_testing.real_tokenizers import deepseek

CHAT = "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"
CAP, NOTHING = ThinkingBudget(max_thinking_tokens=9), ThinkingBudget(max_thinking_tokens=0)
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
    markers, ids = replace(FAMILIES["think"], opens=True), thinker.encode(prompt)
    counting = compile_plan(None, markers, thinker)
    opens = in_template and opens_thinking(markers, thinker, ids)
    assert budget_with_grammar(budget, initial_phase(counting, ids), opens_thinking=opens) == expected


@pytest.mark.parametrize(("known", "expected"), [(True, True), (False, False), (None, False)])
def test_a_model_opens_thinking_on_its_own_if_it_is_known_to(thinker: Any, known: bool | None, expected: bool) -> None:
    markers = replace(FAMILIES["think"], opens=known)
    assert opens_thinking(markers, thinker, thinker.encode(CHAT)) is expected
    assert opens_thinking(markers, thinker, thinker.encode("a text to continue")) is False


#: A template that has the model think only where it is asked to, by this variable.
OPTIONAL = "{% if thinking %}Respond with your thought process.{% endif %}{{ messages }}"
TEMPLATE = "chat_template_kwargs"


@pytest.mark.parametrize(
    ("body", "template", "waits"),
    [
        ({}, OPTIONAL, False),
        ({TEMPLATE: {"thinking": True}}, OPTIONAL, True),
        ({TEMPLATE: {"enable_thinking": True}}, OPTIONAL, False),  # which it does not know
        ({"reasoning_effort": "max"}, OPTIONAL, False),
        # vLLM sets this variable with an effort, unless the request itself gives it.
        ({"reasoning_effort": "max"}, "{{ enable_thinking }}", True),
        ({}, "{{ enable_thinking }}", False),
    ],
    ids=str,
)
def test_a_grammar_waits_for_thinking_that_the_request_turns_on(
    thinker: Any, body: dict[str, Any], template: str, waits: bool
) -> None:
    """A model that does not think by default does where its chat template asks it to."""
    policy = ThinkingPolicy(replace(FAMILIES["think"], opens=False), template=template)
    params = SamplingParams(max_tokens=400, structured_outputs=StructuredOutputsParams(regex="a+"))
    generation = Generation(thinker.encode(CHAT), params, context=9000)
    found = policy.resolve(BudgetRequest.from_body(body), generation, thinker)
    assert found is not None
    assert (found.grammar_begins, found.budget) == ((False, BOUNDLESS) if waits else (True, None))


def test_a_grammar_waits_for_thinking_that_the_operator_turns_on(thinker: Any) -> None:
    markers = replace(FAMILIES["think"], opens=False)
    params = SamplingParams(max_tokens=400, structured_outputs=StructuredOutputsParams(regex="a+"))
    generation = Generation(thinker.encode(CHAT), params, context=9000)
    for template, waits in ((OPTIONAL, True), ("{{ messages }}", False)):
        policy = ThinkingPolicy(markers, template=template, switched_on=("thinking",))
        found = policy.resolve(BudgetRequest.from_body({}), generation, thinker)
        assert found is not None
        assert found.grammar_begins is not waits


def test_a_budget_with_a_grammar_that_covers_the_thinking_is_refused() -> None:
    check_grammar_start(None, GrammarStart.FIRST_TOKEN, Phase.BEFORE)
    check_grammar_start(CAP, GrammarStart.OUR_MARKERS, Phase.BEFORE)
    check_grammar_start(NOTHING, GrammarStart.FIRST_TOKEN, Phase.ANSWER)  # there is no thinking to cover
    for budget, phase in ((CAP, Phase.BEFORE), (CAP, Phase.ANSWER), (NOTHING, Phase.BEFORE)):
        with pytest.raises(InvalidBudget, match="max_thinking_tokens: this server's grammars cover the thinking too"):
            check_grammar_start(budget, GrammarStart.FIRST_TOKEN, phase)


def test_a_chat_is_known_by_turn_tokens_that_are_not_flagged_special() -> None:
    """DeepSeek-R1-0528 always thinks, and its published tokenizer flags none of the tokens that delimit turns."""
    tokenizer = deepcopy(deepseek())
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}<｜User｜>{{ m.content }}{% endfor %}<｜Assistant｜>"
    )
    markers = replace(FAMILIES["think"], opens=True)
    assert opens_thinking(markers, tokenizer, tokenizer.encode("<｜User｜>x<｜Assistant｜>", add_special_tokens=False))
    assert not opens_thinking(markers, tokenizer, tokenizer.encode("a text to continue"))
    assert not opens_thinking(markers, tokenizer, tokenizer.encode("<think>a text to continue"))
