"""The cap of a server on which none was set: it leaves room for an answer, changes nothing else, and yields."""

from dataclasses import replace
from typing import Any

import pytest
from vllm.sampling_params import SamplingParams, StructuredOutputsParams

from tenuto_decoding.automaton import ThinkingAutomaton
from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.errors import InvalidBudget
from tenuto_decoding.families import FAMILIES
from tenuto_decoding.gpu.layout import MAX_SOURCES
from tenuto_decoding.prompt import Phase
from tenuto_decoding.vllm_requests import plan_for
from tenuto_server.budgets.defaults import BUILT_IN, Defaults
from tenuto_server.budgets.request_fields import BudgetRequest, PromptSource
from tenuto_server.budgets.resolution import Generation, ResolvedBudget, ThinkingPolicy
from tenuto_server.budgets.structured_output import GrammarStart
from tenuto_server.engine.thinking_engine import for_workers

CHAT = "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"
BY_DEFAULT = {"max_thinking_tokens": "default"}


def resolve(
    tokenizer: Any,
    family: str = "s1",
    body: dict[str, Any] | None = None,
    *,
    prompt: str = CHAT,
    source: PromptSource = PromptSource.TEMPLATE,
    default: dict[str, Any] | None = None,
    start: GrammarStart = GrammarStart.OUR_MARKERS,
    **params: Any,
) -> ResolvedBudget:
    given = SamplingParams(**{"max_tokens": 400, **params})
    given.update_from_generation_config({}, tokenizer.eos_token_id)
    stops = params.get("stop_token_ids", ())
    generation = Generation(tokenizer.encode(prompt), given, stops, context=9000, grammar_start=start)
    defaults = Defaults.from_options(default or {}, {}, None)
    markers = replace(FAMILIES[family], opens=family == "think")
    policy = ThinkingPolicy(markers, defaults, max_end_ids=MAX_SOURCES)
    found = policy.resolve(BudgetRequest.from_body(body or {}, source), generation, tokenizer)
    assert found is not None
    return found


def cap(found: ResolvedBudget) -> int | None:
    return found.budget.max_thinking_tokens if found.budget else None


def test_a_request_without_a_budget_is_capped_so_that_an_answer_fits(chatml: Any, thinker: Any) -> None:
    for tokenizer, family, around in (
        (chatml, "s1", "<|im_start|>think\n<|im_start|>answer\nFinal Answer:"),
        (thinker, "think", "<think></think>"),
    ):
        found = resolve(tokenizer, family)
        assert found.budget == ThinkingBudget(max_thinking_tokens=300 - len(tokenizer.encode(around)))
        assert found.set_by == BY_DEFAULT


def test_it_opens_no_thinking_and_writes_no_header(chatml: Any) -> None:
    """Any ChatML model without markers is taken for s1: its replies must stay what they are."""
    for tokens in (5, 400):
        found = resolve(chatml, max_tokens=tokens)
        automaton = found.start()
        assert found.only_closes
        assert not found.plan.opens_thinking
        assert automaton.phase is Phase.BEFORE
        automaton.advance_all(chatml.encode("The answer is 35."))
        assert (automaton.tokens, automaton.ended_by) == (0, "none")
    params = for_workers(SamplingParams(max_tokens=400), resolve(chatml), "key")
    given = ThinkingBudget.from_mapping(params.extra_args or {})
    assert not plan_for(params, given, FAMILIES["s1"], chatml).opens_thinking, "nor in the workers"
    assert resolve(chatml, body={"max_thinking_tokens": "auto"}).plan.opens_thinking, "a requested budget does"
    assert resolve(chatml, default={"max_thinking_tokens": "auto"}).plan.opens_thinking, "and an operator's"


@pytest.mark.parametrize("tokens", range(1, 40))
@pytest.mark.parametrize("opened", [False, True], ids=["before", "opened"])
@pytest.mark.parametrize("family", ["s1", "think"])
def test_any_limit_leaves_room_for_an_answer_where_one_fits(
    chatml: Any, thinker: Any, family: str, opened: bool, tokens: int
) -> None:
    """The longest thinking that the model may write still leaves at least one token of an answer."""
    markers, tokenizer = FAMILIES[family], chatml if family == "s1" else thinker
    found = resolve(tokenizer, family, prompt=CHAT + markers.start * opened, max_tokens=tokens)
    automaton, written = found.start(), [] if opened else list(found.plan.start.ids)
    letter = tokenizer.encode("a")[0]
    if not opened and cap(found) == 0:
        return  # the opener is masked: all tokens are the answer's
    automaton.advance_all(written)
    while automaton.phase is Phase.THINKING or automaton._script is not None:
        token = getattr(automaton.action(), "token", letter)
        automaton.advance(token)
        written.append(token)
    fits = tokens > len(found.plan.end.ids + found.plan.newline + found.plan.answer_prefix)
    assert len(written) < tokens or not fits


@pytest.mark.parametrize(
    ("body", "expected", "set_by"),
    [
        ({"num_waits": 2}, {"num_waits": 2}, {"num_waits": "request", **BY_DEFAULT}),
        ({"max_thinking_tokens": 9}, {"max_thinking_tokens": 9}, {"max_thinking_tokens": "request"}),
        ({"max_thinking_tokens": "unlimited"}, {}, {"max_thinking_tokens": "request"}),
        ({"landing_tokens": 5}, {"landing_tokens": 5}, {"landing_tokens": "request", **BY_DEFAULT}),
    ],
    ids=str,
)
def test_it_fills_in_the_cap_that_a_request_leaves_out(
    chatml: Any, body: dict[str, Any], expected: dict[str, Any], set_by: dict[str, str]
) -> None:
    found = resolve(chatml, body=body)
    assert dict(found.set_by) == set_by
    assert not found.only_closes
    if "default" in set_by.values():
        expected = {**expected, "max_thinking_tokens": cap(resolve(chatml))}
    assert found.budget == ThinkingBudget(**expected)


def test_a_requested_floor_raises_it(chatml: Any) -> None:
    assert resolve(chatml, body={"min_thinking_tokens": 350}).budget == ThinkingBudget(
        max_thinking_tokens=350, min_thinking_tokens=350
    )


def test_an_operators_cap_takes_its_place(chatml: Any) -> None:
    assert cap(resolve(chatml, default={"max_thinking_tokens": 7})) == 7
    off = resolve(chatml, default={"max_thinking_tokens": "unlimited"})
    assert (off.budget, off.set_by, off.plan.enforced) == (None, {}, False)
    waits = resolve(chatml, default={"num_waits": 1})
    assert waits.budget == ThinkingBudget(max_thinking_tokens=cap(resolve(chatml)), num_waits=1)


@pytest.mark.parametrize(
    "params",
    [
        {"stop_token_ids": list(range(100, 140))},
        {"stop_token_ids": ["\n"]},
        {"stop_token_ids": ["<|im_start|>"]},
        {"allowed_token_ids": ["<|im_end|>", "<|im_start|>"]},
        {"stop_token_ids": ["answer"], "min_tokens": 390},
    ],
    ids=str,
)
@pytest.mark.parametrize("opened", ["", "<|im_start|>think"])
def test_it_yields_to_what_a_budget_cannot_be_kept_with(chatml: Any, params: dict[str, Any], opened: str) -> None:
    ids: dict[str, Any] = {
        name: [chatml.encode(token)[0] if isinstance(token, str) else token for token in value]
        if isinstance(value, list)
        else value
        for name, value in params.items()
    }
    found = resolve(chatml, prompt=CHAT + opened, **ids)
    if opened or ("allowed_token_ids" not in ids and "min_tokens" not in ids):
        assert (found.budget, found.set_by, found.plan.enforced) == (None, {}, False)
        with pytest.raises(InvalidBudget):
            resolve(chatml, prompt=CHAT + opened, body={"max_thinking_tokens": 9}, **ids)


def test_a_request_that_is_at_fault_is_refused_for_what_it_gave(chatml: Any) -> None:
    with pytest.raises(InvalidBudget, match="max_thinking_tokens: 400 thinking tokens"):
        resolve(chatml, body={"max_thinking_tokens": 400})


def test_a_grammar_begins_where_it_would_begin_without_it(chatml: Any, thinker: Any) -> None:
    regex = StructuredOutputsParams(regex="[0-9]")
    plain = resolve(chatml, structured_outputs=regex)
    assert (plain.budget, plain.set_by, plain.grammar_begins) == (None, {}, True)
    opens = resolve(thinker, "think", structured_outputs=regex)
    assert (opens.set_by, opens.grammar_begins, opens.only_closes) == (BY_DEFAULT, False, False)
    assert opens.plan.opens_thinking
    closed = resolve(thinker, "think", prompt=f"{CHAT}<think>\n</think>", structured_outputs=regex)
    assert (closed.budget, closed.grammar_begins) == (None, True)
    covering = resolve(thinker, "think", structured_outputs=regex, start=GrammarStart.FIRST_TOKEN)
    assert covering.budget is None


@pytest.mark.parametrize(
    ("prompt", "applies"),
    [
        ("Once upon a time", False),
        ("", False),
        ("a<|endoftext|>b", False),
        (CHAT, True),
        ("<|im_start|>think", True),
        ("<think>", True),
    ],
)
@pytest.mark.parametrize("default", [None, {"num_waits": 2, "max_thinking_tokens": 30}], ids=["built-in", "operator's"])
def test_defaults_are_for_chats_and_opened_thinking(
    chatml: Any, thinker: Any, prompt: str, applies: bool, default: dict[str, Any] | None
) -> None:
    family, tokenizer = ("think", thinker) if prompt == "<think>" else ("s1", chatml)
    found = resolve(tokenizer, family, prompt=prompt, source=PromptSource.CLIENT, default=default)
    assert (found.budget is not None) is applies
    given = resolve(tokenizer, family, {"max_thinking_tokens": 9}, prompt=prompt, source=PromptSource.CLIENT)
    assert cap(given) == 9, "what a request gives applies everywhere"


def test_the_steps_of_a_beam_search_get_no_default(chatml: Any) -> None:
    found = resolve(chatml, source=PromptSource.ENGINE, default={"num_waits": 2}, max_tokens=1)
    assert found.budget is None


def test_it_needs_no_report_of_the_workers_unless_the_request_has_stops_of_its_own(chatml: Any) -> None:
    assert not resolve(chatml).asks_workers
    assert resolve(chatml, stop_token_ids=chatml.encode("x")).asks_workers
    assert resolve(chatml, body={"max_thinking_tokens": 9}).asks_workers


def test_the_end_of_a_sequence_while_thinking_becomes_the_end_of_thinking(thinker: Any) -> None:
    found = resolve(thinker, "think")
    automaton = ThinkingAutomaton(found.plan)
    automaton.advance_all(thinker.encode("<think>a"))
    action: Any = automaton.action()
    assert thinker.eos_token_id in action.sources
    assert action.target == thinker.encode("</think>")[0]


def test_only_an_operators_default_is_an_obstacle() -> None:
    """To a beam search, and to a model whose markers are not known."""
    assert not Defaults.from_options({}, {}, None).bounds_thinking
    assert Defaults.from_options({}, {}, None).built_in == BUILT_IN == {"max_thinking_tokens": "auto"}
