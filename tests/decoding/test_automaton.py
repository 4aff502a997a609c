"""The automaton, cell by cell: every row of the design's table of states and actions, and the counting rules."""

from typing import Any

import pytest

from tenuto_decoding import Force, Free, Marker, Phase, Redirect, ThinkingAutomaton

from .small_plans import END, EOS, HMM, NEWLINE, OPENERS, START, TEXT, TOOL, WAIT, feed, forced, plan, thinking


class TestBeforeThinking:
    def test_the_family_that_must_be_opened_is_opened(self) -> None:
        automaton = ThinkingAutomaton(plan(force_start=True, max_thinking_tokens=9))
        assert forced(automaton) == [*START]
        assert automaton.phase is Phase.THINKING
        assert automaton.tokens == 0

    @pytest.mark.parametrize("fields", [{"min_thinking_tokens": 1}, {"num_waits": 1}])
    def test_a_floor_or_waits_open_thinking_in_any_family(self, fields: dict[str, int]) -> None:
        assert forced(ThinkingAutomaton(plan(**fields))) == [*START]

    def test_a_cap_alone_opens_nothing(self) -> None:
        assert isinstance(ThinkingAutomaton(plan(max_thinking_tokens=9)).action(), Free)

    def test_thinking_that_the_prompt_opened_is_not_opened_again(self) -> None:
        automaton = thinking(force_start=True, min_thinking_tokens=1)
        assert isinstance(automaton.action(), Redirect)

    def test_cap_zero_masks_the_opener(self) -> None:
        automaton = ThinkingAutomaton(plan(max_thinking_tokens=0))
        assert automaton.action() == Redirect((START[0],), None)
        assert feed(automaton, [TEXT, TEXT]).action() == Redirect((START[0],), None)
        assert automaton.ended_by == "none"

    def test_cap_zero_masks_a_spelt_opener_at_its_last_token(self) -> None:
        automaton = ThinkingAutomaton(plan(max_thinking_tokens=0, start=Marker.of_ids(START, 1)))
        assert isinstance(automaton.action(), Free)
        assert feed(automaton, [START[0]]).action() == Redirect((START[1],), None)

    def test_cap_zero_forces_the_answer_of_the_family_that_must_be_opened(self) -> None:
        automaton = ThinkingAutomaton(plan(max_thinking_tokens=0, no_thinking=(*END, 5, 30)))
        assert forced(automaton) == [*END, 5, 30]
        assert (automaton.phase, automaton.tokens, automaton.ended_by) == (Phase.ANSWER, 0, "cap")

    def test_the_model_may_open_thinking_on_its_own(self) -> None:
        automaton = feed(ThinkingAutomaton(plan(max_thinking_tokens=9)), [TEXT, *START, TEXT])
        assert (automaton.phase, automaton.tokens) == (Phase.THINKING, 1)


class TestAttemptsToEnd:
    def test_below_the_floor_an_attempt_is_replaced_by_the_wait_text(self) -> None:
        automaton = thinking(min_thinking_tokens=3)
        assert automaton.action() == Redirect((END[0], EOS), WAIT)
        automaton.advance(WAIT, True)
        assert (automaton.tokens, automaton.waits) == (1, 1)
        assert feed(automaton, [TEXT, TEXT]).action() == Redirect((EOS,), END[0])

    def test_the_first_attempts_are_replaced_whatever_the_count(self) -> None:
        automaton = feed(thinking(num_waits=2), [TEXT] * 50)
        for count in (1, 2):
            assert automaton.action() == Redirect((END[0], EOS), WAIT)
            automaton.advance(WAIT, True)
            assert automaton.waits == count
        assert automaton.action() == Redirect((EOS,), END[0])

    def test_a_wait_that_the_model_wrote_itself_is_no_wait(self) -> None:
        automaton = thinking(num_waits=1)
        automaton.advance(WAIT, False)
        assert (automaton.tokens, automaton.waits) == (1, 0)

    def test_without_knowledge_a_drawn_wait_counts(self) -> None:
        automaton = thinking(num_waits=1)
        automaton.advance(WAIT)
        assert automaton.waits == 1

    def test_the_rest_of_a_wait_text_is_forced(self) -> None:
        automaton = thinking(num_waits=1, waits=((WAIT, 30, 31),))
        automaton.advance(WAIT, True)
        assert forced(automaton) == [30, 31]
        assert automaton.tokens == 3

    def test_the_rest_of_a_wait_that_the_model_began_itself_is_not_forced(self) -> None:
        automaton = thinking(num_waits=1, waits=((WAIT, 30, 31),))
        automaton.advance(WAIT, False)
        assert isinstance(automaton.action(), Redirect)

    def test_several_wait_texts_take_turns(self) -> None:
        automaton = thinking(num_waits=3, waits=((WAIT,), (HMM,)))
        for expected in (WAIT, HMM, WAIT):
            action = automaton.action()
            assert isinstance(action, Redirect)
            assert action.target == expected
            automaton.advance(expected, True)

    def test_an_empty_wait_text_only_suppresses(self) -> None:
        automaton = thinking(num_waits=1, waits=((),))
        assert automaton.action() == Redirect((END[0], EOS), None)
        automaton.advance(TEXT, True)
        assert (automaton.tokens, automaton.waits) == (1, 1)

    def test_what_was_not_an_attempt_does_not_use_up_an_empty_wait(self) -> None:
        for known in (False, None):
            automaton = thinking(num_waits=1, waits=((),))
            automaton.advance(TEXT, known)
            assert automaton.waits == 0

    def test_a_tool_opener_is_an_attempt_too(self) -> None:
        automaton = thinking(num_waits=1, also_ends=OPENERS)
        assert automaton.action() == Redirect((END[0], EOS, TOOL), WAIT)

    def test_a_spelt_end_marker_is_intercepted_at_its_last_token(self) -> None:
        automaton = thinking(num_waits=1, end=Marker.of_ids(END, 1))
        assert automaton.action() == Redirect((EOS,), WAIT)
        assert feed(automaton, [END[0]]).action() == Redirect((END[1], EOS), WAIT)

    def test_the_floor_is_not_reached_by_the_marker_that_ends_there(self) -> None:
        """Spelling the marker takes tokens that count as text until it is complete: the floor holds without them."""
        automaton = feed(thinking(min_thinking_tokens=2, end=Marker.of_ids(END, 1)), [TEXT, END[0]])
        assert automaton.tokens == 2
        assert automaton.action() == Redirect((END[1], EOS), WAIT)


class TestNaturalEnd:
    def test_a_stop_token_becomes_the_end_marker(self) -> None:
        automaton = feed(thinking(), [TEXT])
        assert automaton.action() == Redirect((EOS,), END[0])
        automaton.advance(END[0], True)
        assert forced(automaton) == [END[1]]
        assert (automaton.phase, automaton.tokens, automaton.ended_by) == (Phase.ANSWER, 1, "stop_token")

    def test_the_rest_of_the_marker_that_the_model_began_is_forced(self) -> None:
        automaton = feed(thinking(), [TEXT, TEXT])
        automaton.advance(END[0], False)
        assert forced(automaton) == [END[1]]
        assert (automaton.phase, automaton.tokens, automaton.ended_by) == (Phase.ANSWER, 2, "model")

    def test_a_marker_of_one_token(self) -> None:
        automaton = thinking(end=Marker.of_ids((3,)))
        feed(automaton, [TEXT]).advance(3, False)
        assert (automaton.phase, automaton.tokens, automaton.ended_by) == (Phase.ANSWER, 1, "model")

    def test_a_spelt_marker_is_taken_back_from_the_count(self) -> None:
        automaton = thinking(end=Marker.of_ids((3, 3, 4), 2), max_thinking_tokens=50)
        feed(automaton, [TEXT, 3, 3])
        assert automaton.tokens == 3
        automaton.advance(3, False)  # the marker's beginning slips by one
        automaton.advance(4, False)
        assert (automaton.phase, automaton.tokens, automaton.ended_by) == (Phase.ANSWER, 2, "model")

    def test_a_stop_token_completes_the_spelt_marker_that_was_begun(self) -> None:
        automaton = thinking(end=Marker.of_ids((3, 3, 4), 2))
        feed(automaton, [TEXT, 3])
        assert automaton.action() == Redirect((EOS,), 3)
        automaton.advance(3, True)
        assert forced(automaton) == [4]
        assert (automaton.tokens, automaton.ended_by) == (1, "stop_token")

    def test_a_tool_opener_ends_thinking(self) -> None:
        automaton = feed(thinking(also_ends=OPENERS), [TEXT, TOOL])
        assert (automaton.phase, automaton.tokens, automaton.ended_by) == (Phase.ANSWER, 1, "model")


class TestCap:
    @pytest.mark.parametrize("cap", [1, 2, 5])
    def test_at_the_cap_the_end_is_forced(self, cap: int) -> None:
        automaton = thinking(max_thinking_tokens=cap)
        for _ in range(cap):
            assert not isinstance(automaton.action(), Force)
            automaton.advance(TEXT, False)
        assert forced(automaton) == [*END]
        assert (automaton.tokens, automaton.ended_by, automaton.phase) == (cap, "cap", Phase.ANSWER)

    def test_cap_zero_closes_what_the_prompt_opened(self) -> None:
        automaton = thinking(max_thinking_tokens=0)
        assert forced(automaton) == [*END]
        assert (automaton.tokens, automaton.ended_by) == (0, "cap")

    def test_the_family_wants_a_line_of_its_own_and_an_answer_prefix(self) -> None:
        family = {"newline": (NEWLINE,), "line_ends": frozenset({NEWLINE}), "answer_prefix": (NEWLINE, 30)}
        automaton = feed(thinking(max_thinking_tokens=2, **family), [TEXT, TEXT])
        assert forced(automaton) == [NEWLINE, *END, NEWLINE, 30]
        assert automaton.tokens == 2, "the forced newline is not thinking"
        automaton = feed(thinking(max_thinking_tokens=2, **family), [TEXT, NEWLINE])
        assert forced(automaton) == [*END, NEWLINE, 30]

    def test_the_cap_text_counts_so_it_begins_early(self) -> None:
        automaton = feed(thinking(max_thinking_tokens=5, cap_text=(30, 31)), [TEXT] * 3)
        assert forced(automaton) == [30, 31, *END]
        assert automaton.tokens == 5

    def test_the_cap_cuts_a_wait_text(self) -> None:
        automaton = feed(thinking(max_thinking_tokens=4, num_waits=1, waits=((WAIT, 30, 31),)), [TEXT, TEXT])
        automaton.advance(WAIT, True)
        assert forced(automaton) == [30, *END]
        assert (automaton.tokens, automaton.waits) == (4, 1)

    def test_a_floor_at_the_cap_is_reached_and_then_closed(self) -> None:
        automaton = thinking(max_thinking_tokens=3, min_thinking_tokens=3)
        for _ in range(3):
            automaton.advance(WAIT, True)
        assert forced(automaton) == [*END]
        assert (automaton.tokens, automaton.waits, automaton.ended_by) == (3, 3, "cap")

    def test_a_natural_end_just_before_the_cap_is_natural(self) -> None:
        automaton = feed(thinking(max_thinking_tokens=3), [TEXT, TEXT])
        automaton.advance(END[0], False)
        assert forced(automaton) == [END[1]]
        assert automaton.ended_by == "model"

    def test_landing_closes_at_the_first_sentence_end_within_the_window(self) -> None:
        fields = {"max_thinking_tokens": 10, "landing_tokens": 3, "landings": frozenset({NEWLINE})}
        automaton = feed(thinking(**fields), [NEWLINE] * 7)
        assert not isinstance(automaton.action(), Force), "seven tokens leave more than the window of three"
        assert forced(feed(automaton, [NEWLINE])) == [*END]
        assert (automaton.tokens, automaton.ended_by) == (8, "cap")
        assert automaton.forced_by == "landing"

    def test_landing_leaves_the_cap_hard(self) -> None:
        fields = {"max_thinking_tokens": 10, "landing_tokens": 3, "landings": frozenset({NEWLINE})}
        automaton = feed(thinking(**fields), [TEXT] * 10)
        assert forced(automaton) == [*END]
        assert (automaton.tokens, automaton.forced_by) == (10, "cap")

    def test_what_the_model_ends_itself_is_not_forced(self) -> None:
        automaton = feed(thinking(max_thinking_tokens=9), [TEXT, *END, TEXT])
        assert (automaton.ended_by, automaton.forced_by) == ("model", None)

    def test_a_stop_that_becomes_the_end_of_thinking_is_forced(self) -> None:
        automaton = feed(thinking(max_thinking_tokens=9), [TEXT])
        automaton.advance(END[0], True)
        assert forced(automaton) == [END[1]]
        assert automaton.forced_by == "stop_token"

    def test_an_answer_now_is_forced(self) -> None:
        automaton = feed(thinking(max_thinking_tokens=9), [TEXT])
        assert automaton.remaining == 8
        assert automaton.steer(None)
        assert automaton.remaining == 0
        assert forced(automaton) == [*END]
        assert (automaton.ended_by, automaton.forced_by) == ("cap", "answer_now")

    def test_landing_does_not_pass_below_the_floor(self) -> None:
        fields = {"max_thinking_tokens": 10, "landing_tokens": 8, "landings": frozenset({NEWLINE})}
        automaton = feed(thinking(min_thinking_tokens=6, **fields), [NEWLINE] * 5)
        assert not isinstance(automaton.action(), Force)
        assert forced(feed(automaton, [NEWLINE])) == [*END]

    @pytest.mark.parametrize("cap", [3, 10])
    def test_landing_needs_something_to_land(self, cap: int) -> None:
        """A prompt that ends in a line end, as after `<think>`, is no sentence of the reply's."""
        fields = plan(max_thinking_tokens=cap, landing_tokens=cap + 5, landings=frozenset({NEWLINE}))
        automaton = ThinkingAutomaton.after(fields, [*START, NEWLINE])
        assert not isinstance(automaton.action(), Force)
        assert forced(feed(automaton, [NEWLINE])) == [*END]


class TestSeveralBlocks:
    def closed(self, **changes: Any) -> ThinkingAutomaton:
        automaton = feed(thinking(**changes), [TEXT, TEXT])
        automaton.advance(END[0], False)
        forced(automaton)
        return feed(automaton, [TEXT])

    def test_the_answer_is_free(self) -> None:
        assert isinstance(self.closed(max_thinking_tokens=5).action(), Free)

    def test_one_budget_for_the_reply(self) -> None:
        automaton = feed(self.closed(max_thinking_tokens=3), [*START, TEXT])
        assert forced(automaton) == [*END]
        assert (automaton.tokens, automaton.ended_by) == (3, "cap")
        assert automaton.action() == Redirect((START[0],), None), "nothing is left: thinking is not opened again"

    def test_a_fresh_budget_for_each_block(self) -> None:
        automaton = feed(self.closed(max_thinking_tokens=3, scope="block"), [*START, TEXT, TEXT, TEXT])
        assert forced(automaton) == [*END]
        assert automaton.tokens == 5
        assert isinstance(automaton.action(), Free)

    def test_a_floor_of_a_fresh_block_holds_again(self) -> None:
        automaton = feed(self.closed(min_thinking_tokens=2, scope="block"), START)
        assert automaton.action() == Redirect((END[0], EOS), WAIT)

    def test_a_shared_first_token_of_the_opener_stays_allowed(self) -> None:
        automaton = feed(thinking(max_thinking_tokens=1, start=Marker.of_ids(START, 1)), [TEXT])
        forced(automaton)
        assert isinstance(automaton.action(), Free)
        assert feed(automaton, [START[0]]).action() == Redirect((START[1],), None)


class TestReport:
    def test_thinking_that_did_not_end_was_cut_by_the_length(self) -> None:
        assert feed(thinking(max_thinking_tokens=9), [TEXT]).ended_by == "length"

    def test_no_thinking_at_all(self) -> None:
        automaton = feed(ThinkingAutomaton(plan(max_thinking_tokens=9)), [TEXT, EOS])
        assert (automaton.tokens, automaton.waits, automaton.ended_by) == (0, 0, "none")

    def test_an_end_marker_that_turns_out_to_be_text_is_thinking(self) -> None:
        begun, completes = END
        for text, tokens in (
            ([TEXT, begun], 1),
            ([TEXT, begun, TEXT], 3),
            ([TEXT, begun, begun], 2),
            ([TEXT, begun, begun, completes], 2),
            ([TEXT, begun, EOS], 2),
            ([TEXT, begun, *START, TEXT, *END, TEXT], 5),
        ):
            assert feed(thinking(enforced=False), text).tokens == tokens, text
        assert feed(thinking(enforced=False, also_ends=OPENERS), [TEXT, begun, TOOL, TEXT]).tokens == 2

    def test_counting_without_enforcing(self) -> None:
        automaton = ThinkingAutomaton(plan(enforced=False, max_thinking_tokens=1, force_start=True))
        feed(automaton, [*START, TEXT, TEXT, TEXT])
        assert isinstance(automaton.action(), Free)
        assert feed(automaton, [*END, TEXT]).tokens == 3
        assert automaton.ended_by == "model"
