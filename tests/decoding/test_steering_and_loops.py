"""Loops close thinking, and steering changes its bounds between two tokens."""

import pytest

from tenuto_decoding import Force, Free, Phase, Redirect, ThinkingAutomaton

from .small_plans import END, EOS, HMM, NEWLINE, START, TEXT, WAIT, feed, forced, plan, thinking


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
        closed_from_the_start = ThinkingAutomaton(plan(max_thinking_tokens=0, no_thinking=END))
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
