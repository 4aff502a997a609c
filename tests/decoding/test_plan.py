"""Compilation into ids."""

from dataclasses import replace
from typing import Any

import pytest

from tenuto_decoding import (
    FAMILIES,
    InvalidBudget,
    Pattern,
    Phase,
    ThinkingAutomaton,
    ThinkingBudget,
    ThinkingMarkers,
    Vocabulary,
    compile_plan,
)
from tenuto_decoding.actions import Redirect
from tenuto_decoding.errors import UnknownMarkers
from tenuto_decoding.matching import symbol_of

from .small_plans import forced

S1 = FAMILIES["s1"]
THINK = FAMILIES["think"]


def test_markers_of_s1_are_a_special_token_and_a_word(chatml: Any) -> None:
    plan = compile_plan(ThinkingBudget(max_thinking_tokens=9), S1, chatml)
    start, end, wait = (tuple(chatml.encode(text)) for text in (S1.start, S1.end, "Wait"))
    assert (len(start), len(end), len(wait)) == (2, 2, 1)
    assert (plan.start.ids, plan.end.ids) == (start, end)
    assert plan.table.ends[plan.table.outside] == plan.table.ends[plan.table.inside] == start[:1]
    assert plan.waits == (wait,)
    assert plan.stops == (chatml.eos_token_id, chatml.pad_token_id)
    assert (plan.newline, plan.answer_prefix) == (tuple(chatml.encode("\n")), tuple(chatml.encode("\nFinal Answer:")))
    assert plan.newline[0] in plan.line_ends
    assert plan.force_start


@pytest.mark.parametrize(
    ("end", "begun"),
    [
        ("</think>", "</"),
        ("[/THINK]", "[/"),
        ("◁/think▷", "◁/"),
        ("Here is my response:", "Here is my"),
        ("<answer>", "<answer>"),
        ("Final Answer:", "Final Answer:"),
        ("<", "<"),
    ],
)
def test_a_marker_in_ordinary_text_is_recognized_where_it_differs_from_other_text(
    chatml: Any, end: str, begun: str
) -> None:
    plan = compile_plan(ThinkingBudget(), ThinkingMarkers(family="custom", start="[[", end=end), chatml)
    (pattern,) = plan.end.patterns
    assert (pattern.attempt, pattern.certain) == (len(begun.encode()), len(end.encode()))


def test_a_marker_is_completed_from_wherever_it_was_begun(chatml: Any) -> None:
    """In the middle of a character, which no text can complete, from its beginning."""
    plan = compile_plan(ThinkingBudget(), ThinkingMarkers(family="custom", start="[[", end="</é>"), chatml)
    texts = [chatml.decode(plan.table.rests[state]) for state in range(plan.table.inside, plan.table.prompt)]
    assert texts == ["</é>", "/é>", "é>", "</é>", ">", ""]


def test_tool_openers_end_thinking_where_they_are_tokens(thinker: Any, chatml: Any) -> None:
    opener = Pattern.of_ids(tuple(thinker.encode("<tool_call>")))
    assert opener in compile_plan(ThinkingBudget(), THINK, thinker).also_ends


def test_openers_may_be_ordinary_text_but_not_what_looks_like_a_control_token(chatml: Any) -> None:
    markers = replace(THINK, also_ends=("<tool_call>", "<|tool_call|>", "<｜DSML｜call>", "<|im_start|>tool"))
    plan = compile_plan(ThinkingBudget(), markers, chatml)
    start = chatml.encode("<|im_start|>")[0]
    assert [pattern.symbols for pattern in plan.also_ends] == ["<tool_call>", symbol_of(start) + "tool"]


def test_the_cap_text_is_left_out_where_the_cap_is_shorter(thinker: Any) -> None:
    size = len(thinker.encode(THINK.cap_text))
    assert compile_plan(ThinkingBudget(max_thinking_tokens=size - 1), THINK, thinker).cap_text == ()
    plan = compile_plan(ThinkingBudget(max_thinking_tokens=size), THINK, thinker)
    assert len(plan.cap_text) == size


def test_the_text_of_a_closing_is_kept_where_a_loop_may_bring_it(thinker: Any) -> None:
    text = tuple(thinker.encode(THINK.cap_text))
    assert compile_plan(ThinkingBudget(), THINK, thinker).cap_text == ()
    assert compile_plan(ThinkingBudget(loop_tokens=9), THINK, thinker).cap_text == text
    assert compile_plan(ThinkingBudget(loop_tokens=9, max_thinking_tokens=2), THINK, thinker).cap_text == ()


def test_several_wait_texts_and_an_empty_one(chatml: Any) -> None:
    plan = compile_plan(ThinkingBudget(num_waits=1, wait_text=("Wait", "", "Hmm")), S1, chatml)
    assert plan.waits == (tuple(chatml.encode("Wait")), (), tuple(chatml.encode("Hmm")))


def test_without_a_budget_nothing_is_enforced(chatml: Any) -> None:
    plan = compile_plan(None, S1, chatml)
    assert not plan.enforced
    assert not plan.opens_thinking


def test_equal_arguments_give_the_same_plan(chatml: Any) -> None:
    first = compile_plan(ThinkingBudget(max_thinking_tokens=3), S1, chatml)
    assert compile_plan(ThinkingBudget(max_thinking_tokens=3), S1, chatml) is first


def test_a_text_that_spells_the_end_marker_is_refused(chatml: Any) -> None:
    markers = ThinkingMarkers(family="custom", start="((", end="))")
    with pytest.raises(InvalidBudget, match="wait_text"):
        compile_plan(ThinkingBudget(num_waits=1, wait_text="a)) b"), markers, chatml)
    assert compile_plan(ThinkingBudget(num_waits=1, wait_text="a) b"), markers, chatml)


@pytest.mark.parametrize("field", ["wait_text", "cap_text"])
def test_a_text_that_could_complete_a_spelt_end_marker_is_refused(chatml: Any, field: str) -> None:
    """Text so far "((", wait text ")x": the marker "(()" would be complete at the seam."""
    markers = ThinkingMarkers(family="custom", start="[[", end="(()")
    wish: dict[str, Any] = {"max_thinking_tokens": 99, field: ")x"}
    with pytest.raises(InvalidBudget, match="could complete one") as caught:
        compile_plan(ThinkingBudget(**wish), markers, chatml)
    assert caught.value.field == field


def test_a_text_with_a_control_token_of_this_tokenizer_is_refused(thinker: Any) -> None:
    with pytest.raises(InvalidBudget, match="cap_text"):
        compile_plan(ThinkingBudget(max_thinking_tokens=99, cap_text="call <tool_call>"), THINK, thinker)


def test_a_marker_without_tokens_is_refused(chatml: Any) -> None:
    with pytest.raises(UnknownMarkers, match="no token for the marker"):
        compile_plan(ThinkingBudget(), ThinkingMarkers(family="custom", start="", end="x"), chatml)


def test_undecodable_rows_are_those_without_a_token(chatml: Any) -> None:
    size = len(chatml)
    assert Vocabulary.of(chatml).undecodable(size + 3) == (size, size + 1, size + 2)
    assert Vocabulary.of(chatml).undecodable(size) == ()


def test_landings_are_line_and_sentence_ends(chatml: Any) -> None:
    vocabulary = Vocabulary.of(chatml)
    newline, stop, comma = (chatml.encode(text)[0] for text in "\n.,")
    assert newline in vocabulary.line_ends
    assert {newline, stop} <= vocabulary.landings
    assert comma not in vocabulary.landings
    assert stop not in vocabulary.line_ends


def test_a_vocabulary_is_made_once_for_a_tokenizer(chatml: Any, thinker: Any) -> None:
    assert Vocabulary.of(chatml) is Vocabulary.of(chatml)
    assert Vocabulary.of(chatml) is not Vocabulary.of(thinker)


def test_every_id_that_ends_the_reply_ends_thinking_instead(thinker: Any) -> None:
    opener, end = thinker.encode("<tool_call>")[0], thinker.encode("</think>")[0]
    plan = compile_plan(ThinkingBudget(), THINK, thinker, stop_ids=[7, opener, end, thinker.eos_token_id])
    assert plan.stops == (thinker.eos_token_id, thinker.pad_token_id, 7)
    assert Pattern.of_ids((opener,)) in plan.also_ends


class TestBesideAGrammar:
    def test_nothing_but_the_end_marker_ends_thinking(self, thinker: Any) -> None:
        """The grammar begins after it, and has not seen a call that was opened before."""
        plan = compile_plan(ThinkingBudget(max_thinking_tokens=9), THINK, thinker, grammar=True)
        automaton = ThinkingAutomaton(plan, Phase.THINKING)
        opener, end = (thinker.encode(text)[0] for text in ("<tool_call>", "</think>"))
        action = automaton.action()
        assert isinstance(action, Redirect)
        assert opener in action.sources
        assert action.target == end

    def test_a_budget_opens_the_thinking(self, thinker: Any) -> None:
        assert compile_plan(ThinkingBudget(max_thinking_tokens=9), THINK, thinker, grammar=True).opens_thinking
        assert compile_plan(ThinkingBudget(), THINK, thinker, grammar=True).opens_thinking
        assert not compile_plan(ThinkingBudget(max_thinking_tokens=9), THINK, thinker).opens_thinking
        assert not compile_plan(None, THINK, thinker, grammar=True).opens_thinking

    def test_no_text_is_forced_after_the_end_marker(self, chatml: Any) -> None:
        assert compile_plan(ThinkingBudget(max_thinking_tokens=9), S1, chatml, grammar=True).answer_prefix == ()

    @pytest.mark.parametrize("no_thinking", ["", "<|im_start|>", "<think>\n</think>\n\n"])
    def test_a_cap_of_0_writes_the_end_marker_and_nothing_after_it(self, thinker: Any, no_thinking: str) -> None:
        """The grammar begins there."""
        markers = replace(THINK, no_thinking=no_thinking)
        plan = compile_plan(ThinkingBudget(max_thinking_tokens=0), markers, thinker, grammar=True)
        written = "<think>\n</think>" if "</think>" in no_thinking else "</think>"
        assert thinker.decode(plan.no_thinking) == written
        assert forced(ThinkingAutomaton(plan)) == [*plan.no_thinking]

    def test_a_header_of_control_tokens_stays(self, chatml: Any) -> None:
        markers = ThinkingMarkers(family="custom", start="[[", end="]]", answer_prefix="<|im_start|>answer")
        plan = compile_plan(ThinkingBudget(max_thinking_tokens=9), markers, chatml, grammar=True)
        assert plan.answer_prefix == tuple(chatml.encode("<|im_start|>answer"))


def test_a_budget_that_only_closes_opens_no_thinking_and_masks_the_opener_at_a_cap_of_0(chatml: Any) -> None:
    for grammar in (False, True):
        plan = compile_plan(ThinkingBudget(max_thinking_tokens=9), S1, chatml, grammar=grammar, only_closes=True)
        assert not plan.opens_thinking
        assert plan.enforced
    none = compile_plan(ThinkingBudget(max_thinking_tokens=0), S1, chatml, only_closes=True)
    automaton = ThinkingAutomaton.after(none, chatml.encode("<|im_start|>assistant\n"))
    assert automaton.action() == Redirect((none.start.ids[0],), None)


class TestACapOf0:
    """The template's own form without thinking is forced, or what of it follows the opener that the prompt wrote."""

    FORM = "<think>\n\n</think>\n\n"

    @pytest.mark.parametrize(
        ("form", "prompt", "written"),
        [
            (FORM, "<|im_start|>assistant\n", FORM),
            (FORM, "<|im_start|>assistant\n<think>", "\n\n</think>\n\n"),
            (FORM, "<|im_start|>assistant\n<think>\n", "\n</think>\n\n"),
            ("</think>", "<|im_start|>assistant\n<think>", "</think>"),
            ("\n<think></think>", "<|im_start|>assistant", "\n<think></think>"),
            ("\n<think></think>", "<|im_start|>assistant<think>", "</think>"),
            ("<|im_start|>final", "<|im_start|>assistant\n", "<|im_start|>final"),
            ("<|im_start|>final", "<|im_start|>assistant\n<think>", "\n</think>"),
            ("", "<|im_start|>assistant\n<think>\n", "</think>"),
            (FORM, f"<|im_start|>assistant\n{FORM}", ""),
        ],
    )
    def test_what_is_written(self, thinker: Any, form: str, prompt: str, written: str) -> None:
        markers = replace(THINK, no_thinking=form, newline_before_end=True, cap_text="Enough.\n")
        plan = compile_plan(ThinkingBudget(max_thinking_tokens=0), markers, thinker)
        automaton = ThinkingAutomaton.after(plan, thinker.encode(prompt))
        assert thinker.decode(forced(automaton)) == written
        assert (automaton.phase, automaton.tokens) == (Phase.ANSWER, 0)
        assert automaton.ended_by == ("cap" if written else "none")

    def test_a_cap_below_the_cap_texts_length_ends_on_a_line_of_its_own(self, thinker: Any) -> None:
        markers = replace(THINK, no_thinking=self.FORM, newline_before_end=True, cap_text="Enough.\n")
        for cap, written in ((2, "ab\n</think>"), (10, "ab\nEnough.\n</think>")):
            plan = compile_plan(ThinkingBudget(max_thinking_tokens=cap), markers, thinker)
            automaton = ThinkingAutomaton(plan, Phase.THINKING)
            text = thinker.encode("ab")
            automaton.advance_all(text)
            assert thinker.decode([*text, *forced(automaton)]) == written
            assert automaton.tokens <= cap


def test_caps_share_the_texts_that_were_encoded_for_one(chatml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server caps each request differently: nothing is encoded for that."""
    first = compile_plan(ThinkingBudget(max_thinking_tokens=100), S1, chatml)
    monkeypatch.setattr(Vocabulary, "encode", None)
    second = compile_plan(ThinkingBudget(max_thinking_tokens=101), S1, chatml)
    assert (first.max_thinking_tokens, second.max_thinking_tokens) == (100, 101)
    assert replace(second, max_thinking_tokens=100) == first
