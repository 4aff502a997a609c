"""The automaton, cell by cell: every row of the design's table of states and actions, and the counting rules.

Ids in these tests: 1 and 2 make the start marker, 3 and 4 the end marker, 9 ends the reply, 7 and 8 are waits, 5 is a
newline, 6 is a tool opener; everything from 20 on is text.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tenuto_decoding import Force, Free, Marker, Phase, Redirect, ThinkingAutomaton, ThinkingPlan, initial_phase

START, END, EOS, WAIT, HMM, NEWLINE, TOOL = (1, 2), (3, 4), 9, 7, 8, 5, 6
TEXT = 20


def plan(**changes: Any) -> ThinkingPlan:
    base = ThinkingPlan(start=Marker(ids=START), end=Marker(ids=END), stops=(EOS,), waits=((WAIT,),))
    return replace(base, **changes)


def thinking(**changes: Any) -> ThinkingAutomaton:
    return ThinkingAutomaton(plan(**changes), Phase.THINKING)


def feed(automaton: ThinkingAutomaton, tokens: Sequence[int]) -> ThinkingAutomaton:
    automaton.advance_all(tokens)
    return automaton


def forced(automaton: ThinkingAutomaton) -> list[int]:
    """Take every token that is forced from here on."""
    taken = []
    while isinstance(action := automaton.action(), Force):
        taken.append(action.token)
        automaton.advance(action.token)
    return taken


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
        automaton = ThinkingAutomaton(plan(max_thinking_tokens=0, start=Marker(ids=START, gate=1)))
        assert isinstance(automaton.action(), Free)
        assert feed(automaton, [START[0]]).action() == Redirect((START[1],), None)

    def test_cap_zero_forces_the_answer_of_the_family_that_must_be_opened(self) -> None:
        automaton = ThinkingAutomaton(plan(max_thinking_tokens=0, force_start=True, answer_prefix=(5, 30)))
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
        automaton = thinking(num_waits=1, also_ends=(TOOL,))
        assert automaton.action() == Redirect((END[0], EOS, TOOL), WAIT)

    def test_a_spelt_end_marker_is_intercepted_at_its_last_token(self) -> None:
        automaton = thinking(num_waits=1, end=Marker(ids=END, gate=1))
        assert automaton.action() == Redirect((EOS,), WAIT)
        assert feed(automaton, [END[0]]).action() == Redirect((END[1], EOS), WAIT)

    def test_the_floor_is_not_reached_by_the_marker_that_ends_there(self) -> None:
        """Spelling the marker takes tokens that count as text until it is complete: the floor holds without them."""
        automaton = feed(thinking(min_thinking_tokens=2, end=Marker(ids=END, gate=1)), [TEXT, END[0]])
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
        automaton = thinking(end=Marker(ids=(3,)))
        feed(automaton, [TEXT]).advance(3, False)
        assert (automaton.phase, automaton.tokens, automaton.ended_by) == (Phase.ANSWER, 1, "model")

    def test_a_spelt_marker_is_taken_back_from_the_count(self) -> None:
        automaton = thinking(end=Marker(ids=(3, 3, 4), gate=2), max_thinking_tokens=50)
        feed(automaton, [TEXT, 3, 3])
        assert automaton.tokens == 3
        automaton.advance(3, False)  # the marker's beginning slips by one
        automaton.advance(4, False)
        assert (automaton.phase, automaton.tokens, automaton.ended_by) == (Phase.ANSWER, 2, "model")

    def test_a_stop_token_completes_the_spelt_marker_that_was_begun(self) -> None:
        automaton = thinking(end=Marker(ids=(3, 3, 4), gate=2))
        feed(automaton, [TEXT, 3])
        assert automaton.action() == Redirect((EOS,), 3)
        automaton.advance(3, True)
        assert forced(automaton) == [4]
        assert (automaton.tokens, automaton.ended_by) == (1, "stop_token")

    def test_a_tool_opener_ends_thinking(self) -> None:
        automaton = feed(thinking(also_ends=(TOOL,)), [TEXT, TOOL])
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

    def test_landing_leaves_the_cap_hard(self) -> None:
        fields = {"max_thinking_tokens": 10, "landing_tokens": 3, "landings": frozenset({NEWLINE})}
        automaton = feed(thinking(**fields), [TEXT] * 10)
        assert forced(automaton) == [*END]
        assert automaton.tokens == 10

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
        automaton = feed(thinking(max_thinking_tokens=1, start=Marker(ids=START, gate=1)), [TEXT])
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
        assert feed(thinking(enforced=False, also_ends=(TOOL,)), [TEXT, begun, TOOL, TEXT]).tokens == 2

    def test_counting_without_enforcing(self) -> None:
        automaton = ThinkingAutomaton(plan(enforced=False, max_thinking_tokens=1, force_start=True))
        feed(automaton, [*START, TEXT, TEXT, TEXT])
        assert isinstance(automaton.action(), Free)
        assert feed(automaton, [*END, TEXT]).tokens == 3
        assert automaton.ended_by == "model"


class TestInitialPhase:
    BOUNDARY = 40

    def phase(self, prompt: list[int]) -> Phase:
        return initial_phase(plan(boundaries=frozenset({self.BOUNDARY, START[0], END[0]})), prompt)

    @pytest.mark.parametrize(
        ("prompt", "phase"),
        [
            ([], Phase.BEFORE),
            ([TEXT, TEXT], Phase.BEFORE),
            ([BOUNDARY, TEXT, *START], Phase.THINKING),
            ([BOUNDARY, TEXT, *START, NEWLINE], Phase.THINKING),
            ([BOUNDARY, *START, TEXT, TEXT, TEXT], Phase.THINKING),
            ([BOUNDARY, *START, NEWLINE, *END, NEWLINE], Phase.ANSWER),
            ([*START, TEXT, BOUNDARY, TEXT], Phase.BEFORE),
            ([*START, TEXT, *END, TEXT, BOUNDARY, TEXT], Phase.BEFORE),
            ([*START, TEXT, *END, BOUNDARY, *START], Phase.THINKING),
            ([*START, START[0]], Phase.BEFORE),
        ],
    )
    def test_the_last_marker_of_the_turn_decides(self, prompt: list[int], phase: Phase) -> None:
        assert self.phase(prompt) is phase

    def test_the_newline_is_spared_where_the_prompt_ends_in_one(self) -> None:
        family = {"newline": (NEWLINE,), "line_ends": frozenset({NEWLINE})}
        after = ThinkingAutomaton.after(plan(max_thinking_tokens=0, **family), [*START, NEWLINE])
        assert forced(after) == [*END]
        after = ThinkingAutomaton.after(plan(max_thinking_tokens=0, **family), [*START])
        assert forced(after) == [NEWLINE, *END]


class TestLoops:
    def test_a_loop_is_closed_as_the_cap_would(self) -> None:
        automaton = feed(thinking(loop_tokens=8, newline=(NEWLINE,), cap_text=(30,), answer_prefix=(31,)), [TEXT] * 8)
        assert forced(automaton) == [NEWLINE, 30, *END, 31]
        assert (automaton.ended_by, automaton.tokens) == ("loop", 9)

    def test_whatever_the_floor_and_the_waits(self) -> None:
        automaton = feed(thinking(loop_tokens=8, min_thinking_tokens=99, num_waits=9), [20, 21] * 4)
        assert forced(automaton) == [*END]

    def test_a_loop_of_waits_too(self) -> None:
        automaton = thinking(loop_tokens=12, num_waits=99, waits=((WAIT, 21, 22, 23),))
        while not isinstance(automaton.action(), Force):
            automaton.advance(WAIT, True)
            for token in (21, 22, 23):
                if automaton.action() == Force(token):
                    automaton.advance(token)
        assert (automaton.waits, automaton.tokens) == (3, 12)

    def test_the_cap_text_stays_within_the_cap(self) -> None:
        automaton = feed(thinking(loop_tokens=8, max_thinking_tokens=10, cap_text=(30, 30)), [TEXT] * 8)
        assert forced(automaton) == [30, 30, *END]
        assert automaton.ended_by == "cap"
        automaton = feed(thinking(loop_tokens=8, max_thinking_tokens=11, cap_text=(30, 30)), [TEXT] * 8)
        assert forced(automaton) == [30, 30, *END]
        assert (automaton.ended_by, automaton.tokens) == ("loop", 10)

    def test_thinking_is_not_opened_again_in_one_budget_for_the_reply(self) -> None:
        for scope, closed in (("response", Redirect((START[0],), None)), ("block", Free())):
            automaton = feed(thinking(loop_tokens=8, scope=scope), [*[TEXT] * 8, *END])
            assert automaton.action() == closed

    def test_a_marker_that_has_begun_is_completed(self) -> None:
        automaton = feed(thinking(loop_tokens=8, num_waits=0), [*[TEXT] * 7, END[0]])
        assert forced(automaton) == [END[1]]
        assert automaton.ended_by == "model"

    def test_only_when_requested(self) -> None:
        assert not isinstance(feed(thinking(), [TEXT] * 99).action(), Force)


class TestSteering:
    def test_answer_now_closes_without_the_cap_text(self) -> None:
        fields = {"max_thinking_tokens": 50, "cap_text": (30,), "newline": (NEWLINE,), "answer_prefix": (31,)}
        automaton = feed(thinking(**fields, num_waits=2, min_thinking_tokens=40), [TEXT] * 5)
        assert automaton.steer(None)
        assert forced(automaton) == [NEWLINE, *END, 31]
        assert (automaton.phase, automaton.tokens, automaton.ended_by) == (Phase.ANSWER, 5, "cap")
        assert (automaton.max_thinking_tokens, automaton.min_thinking_tokens) == (5, 0)

    @pytest.mark.parametrize("scope", ["response", "block"])
    def test_after_answer_now_thinking_is_not_opened_again(self, scope: str) -> None:
        automaton = feed(thinking(scope=scope, loop_tokens=0), [TEXT] * 5)
        automaton.steer(None)
        forced(automaton)
        assert automaton.action() == Redirect((START[0],), None)

    def test_answer_now_cuts_a_wait(self) -> None:
        automaton = thinking(num_waits=1, waits=((WAIT, HMM, HMM),))
        automaton.advance(WAIT, True)
        assert automaton.action() == Force(HMM)
        assert automaton.steer(None)
        assert forced(automaton) == [*END]
        assert automaton.tokens == 1

    def test_answer_now_before_thinking_keeps_it_from_beginning(self) -> None:
        automaton = ThinkingAutomaton(plan(max_thinking_tokens=9))
        assert automaton.steer(None)
        assert automaton.action() == Redirect((START[0],), None)
        assert (automaton.ended_by, automaton.max_thinking_tokens) == ("none", 0)

    def test_answer_now_while_thinking_is_being_opened(self) -> None:
        automaton = feed(ThinkingAutomaton(plan(force_start=True)), START[:1])
        assert automaton.steer(None)
        assert forced(automaton) == [START[1], *END]
        assert (automaton.ended_by, automaton.tokens) == ("cap", 0)

    def test_think_until_raises_floor_and_cap(self) -> None:
        automaton = feed(thinking(max_thinking_tokens=6), [TEXT] * 5)
        assert automaton.steer(8)
        assert (automaton.max_thinking_tokens, automaton.min_thinking_tokens) == (8, 8)
        assert automaton.action() == Redirect((END[0], EOS), WAIT)
        assert forced(feed(automaton, [TEXT] * 3)) == [*END]
        assert automaton.tokens == 8

    def test_think_until_leaves_a_higher_cap_and_none(self) -> None:
        for cap in (None, 50):
            automaton = feed(thinking(max_thinking_tokens=cap), [TEXT] * 5)
            assert automaton.steer(8)
            assert (automaton.max_thinking_tokens, automaton.min_thinking_tokens) == (cap, 8)

    def test_think_until_less_takes_a_floor_away(self) -> None:
        automaton = feed(thinking(min_thinking_tokens=99), [TEXT] * 5)
        assert automaton.steer(0)
        assert automaton.action() == Redirect((EOS,), END[0])

    def test_think_until_takes_hold_while_thinking_is_being_opened_and_not_before(self) -> None:
        opened = ThinkingAutomaton(plan(force_start=True))
        assert opened.steer(3)
        forced(opened)
        assert opened.extends
        free = ThinkingAutomaton(plan(max_thinking_tokens=5))
        assert not free.steer(8)
        assert (free.max_thinking_tokens, free.min_thinking_tokens) == (5, 0)

    @pytest.mark.parametrize("until", [None, 30])
    def test_an_end_that_has_begun_cannot_be_steered(self, until: int | None) -> None:
        at_the_cap = feed(thinking(max_thinking_tokens=2), [TEXT] * 2)
        by_the_model = feed(thinking(), [TEXT, END[0]])
        by_a_stop = thinking()
        by_a_stop.advance(END[0], True)
        ended = feed(thinking(), [TEXT, *END])
        closed_from_the_start = ThinkingAutomaton(plan(max_thinking_tokens=0, force_start=True))
        for automaton in (at_the_cap, by_the_model, by_a_stop, ended, closed_from_the_start):
            before = automaton.action(), automaton.max_thinking_tokens, automaton.min_thinking_tokens
            assert not automaton.steer(until)
            assert (automaton.action(), automaton.max_thinking_tokens, automaton.min_thinking_tokens) == before

    def test_what_is_only_counted_cannot_be_steered(self) -> None:
        assert not thinking(enforced=False).steer(None)


def test_a_stop_token_while_thinking_is_reported_as_what_ended_it() -> None:
    """Without a budget nothing turns the token into an end marker; then it was not the length that ended thinking."""
    automaton = ThinkingAutomaton(plan(enforced=False), Phase.THINKING)
    assert feed(automaton, [TEXT, TEXT + 1]).ended_by == "length"
    assert feed(automaton, [EOS]).ended_by == "stop_token"
    assert automaton.tokens == 2
