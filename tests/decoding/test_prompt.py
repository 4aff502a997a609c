"""The phase in which a reply begins, by the end of its prompt."""

import pytest

from tenuto_decoding import Phase, ThinkingAutomaton, initial_phase

from .small_plans import END, NEWLINE, START, TEXT, forced, plan


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
