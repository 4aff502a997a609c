"""What is recorded of a choice that has ended, and what is computed of those that run."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tenuto_server.metrics.choices import ChoiceMetrics, EndedChoice, LiveChoice
from tenuto_server.metrics.definitions import BY_NAME
from tests.server.metrics.bounds import BOUNDS

ENDED = EndedChoice(
    model_name="m",
    effort="unset",
    is_finished=True,
    ending="model",
    thinking=30,
    answer=7,
    waits=2,
    forced_by=None,
    empty=None,
    requested_cap=40,
    requested_floor=20,
    cap=40,
    arrived=100.0,
    first_thinking=100.5,
    first_answer=102.0,
    last=104.0,
)


class Recorded:
    """The metrics of an engine, and the choices that it runs."""

    def __init__(self) -> None:
        self.running: list[LiveChoice] = []
        self.metrics = ChoiceMetrics("m", BOUNDS, self._running)

    def _running(self) -> Iterator[LiveChoice]:
        yield from self.running

    def values(self) -> dict[tuple[str, ...], float]:
        """Samples above 0 by their name and the values of their labels."""
        return {
            (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for metric in self.metrics.collect()
            for sample in metric.samples
            if sample.value and not sample.name.endswith(("_created", "_bucket"))
        }


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def test_a_finished_choice_is_in_all_its_series(recorded: Recorded) -> None:
    recorded.metrics.record(ENDED)
    assert recorded.values() == {
        ("tenuto_waits_total", "m"): 2,
        ("tenuto_thinking_endings_total", "m", "model"): 1,
        ("tenuto_thinking_tokens_beyond_total", "m", "1.0"): 29,
        ("tenuto_thinking_tokens_beyond_total", "m", "10.0"): 20,
        ("tenuto_choice_thinking_tokens_count", "unset", "m"): 1,
        ("tenuto_choice_thinking_tokens_sum", "unset", "m"): 30,
        ("tenuto_choice_answer_tokens_count", "m"): 1,
        ("tenuto_choice_answer_tokens_sum", "m"): 7,
        ("tenuto_requested_max_thinking_tokens_count", "m"): 1,
        ("tenuto_requested_max_thinking_tokens_sum", "m"): 40,
        ("tenuto_requested_min_thinking_tokens_count", "m"): 1,
        ("tenuto_requested_min_thinking_tokens_sum", "m"): 20,
        ("tenuto_budget_used_ratio_count", "m"): 1,
        ("tenuto_budget_used_ratio_sum", "m"): 0.75,
        ("tenuto_choice_waits_count", "m"): 1,
        ("tenuto_choice_waits_sum", "m"): 2,
        ("tenuto_time_to_first_thinking_token_seconds_count", "m"): 1,
        ("tenuto_time_to_first_thinking_token_seconds_sum", "m"): 0.5,
        ("tenuto_time_to_first_answer_token_seconds_count", "m"): 1,
        ("tenuto_time_to_first_answer_token_seconds_sum", "m"): 2.0,
        ("tenuto_thinking_duration_seconds_count", "m"): 1,
        ("tenuto_thinking_duration_seconds_sum", "m"): 1.5,
        ("tenuto_answer_duration_seconds_count", "m"): 1,
        ("tenuto_answer_duration_seconds_sum", "m"): 2.0,
        ("tenuto_thinking_tokens_total", "m"): 30,
        ("tenuto_answer_tokens_total", "m"): 7,
    }


def test_a_choice_that_was_cancelled_counts_its_tokens_waits_and_ending(recorded: Recorded) -> None:
    recorded.metrics.record(replace(ENDED, is_finished=False, ending="cancelled"))
    assert recorded.values() == {
        ("tenuto_waits_total", "m"): 2,
        ("tenuto_thinking_endings_total", "m", "cancelled"): 1,
        ("tenuto_thinking_tokens_total", "m"): 30,
        ("tenuto_answer_tokens_total", "m"): 7,
    }


def test_a_landing_is_a_forced_end_too(recorded: Recorded) -> None:
    recorded.metrics.record(replace(ENDED, ending="cap", forced_by="landing"))
    values = recorded.values()
    assert values["tenuto_landings_total", "m"] == values["tenuto_forced_ends_total", "m", "landing"] == 1


def test_a_choice_without_bounds_thinking_and_answer_is_in_few_series(recorded: Recorded) -> None:
    ended = replace(ENDED, thinking=0, ending="none", empty="stopped", first_thinking=None, first_answer=None)
    recorded.metrics.record(replace(ended, requested_cap=None, requested_floor=0, cap=None))
    values = recorded.values()
    assert values["tenuto_empty_answers_total", "m", "stopped"] == 1
    assert not {name for name, *_ in values} & {
        "tenuto_budget_used_ratio_count",
        "tenuto_requested_max_thinking_tokens_count",
        "tenuto_time_to_first_answer_token_seconds_count",
    }


def test_adapters_and_efforts_have_series_of_their_own(recorded: Recorded) -> None:
    recorded.metrics.record(replace(ENDED, model_name="adapter", effort="low"))
    values = recorded.values()
    assert values["tenuto_choice_thinking_tokens_sum", "low", "adapter"] == 30
    assert ("tenuto_thinking_tokens_total", "m") not in values


def test_tokens_of_running_choices_count_at_once(recorded: Recorded) -> None:
    recorded.metrics.record(ENDED)
    recorded.running = [LiveChoice("m", "thinking", 5, 1, 35), LiveChoice("adapter", "answer", 2, 3, 0)]
    values = recorded.values()
    assert values["tenuto_thinking_tokens_total", "m"] == 35
    assert values["tenuto_answer_tokens_total", "m"] == 8
    assert values["tenuto_thinking_tokens_total", "adapter"] == 2
    assert values["tenuto_running_choices", "m", "thinking"] == 1
    assert values["tenuto_running_choices", "adapter", "answer"] == 1
    assert values["tenuto_remaining_thinking_tokens", "m"] == 35


def test_counters_do_not_decrease_when_a_count_is_corrected(recorded: Recorded) -> None:
    """What looked like thinking may turn out to be the beginning of the end marker; later tokens make up for it."""
    recorded.running = [LiveChoice("m", "thinking", 30, 2, 10)]
    assert recorded.values()["tenuto_thinking_tokens_total", "m"] == 30
    recorded.running = [LiveChoice("m", "thinking", 29, 4, 10)]
    assert recorded.values()["tenuto_thinking_tokens_total", "m"] == 30
    recorded.running = []
    recorded.metrics.record(replace(ENDED, thinking=29, answer=9))
    values = recorded.values()
    assert (values["tenuto_thinking_tokens_total", "m"], values["tenuto_answer_tokens_total", "m"]) == (30, 9)
    recorded.metrics.record(replace(ENDED, thinking=6, answer=1))
    assert recorded.values()["tenuto_thinking_tokens_total", "m"] == 35


def test_steering_is_counted_by_result(recorded: Recorded) -> None:
    recorded.metrics.record_steering("m", "answer_now", "applied")
    recorded.metrics.record_steering("m", "think_on", "refused", 3)
    values = recorded.values()
    assert values["tenuto_steering_actions_total", "answer_now", "m", "applied"] == 1
    assert values["tenuto_steering_actions_total", "think_on", "m", "refused"] == 3


def test_the_series_of_the_served_model_begin_at_zero(recorded: Recorded) -> None:
    """The first increase of a counter that was not there before is lost to `increase()`."""
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in recorded.metrics.collect()
        for sample in metric.samples
    }
    for name in ("tenuto_thinking_endings_total", "tenuto_empty_answers_total", "tenuto_forced_ends_total"):
        for reason in BY_NAME[name].values["reason"]:
            assert samples[name, "m", reason] == 0
    assert samples["tenuto_thinking_tokens_beyond_total", "m", "1e+06"] == 0, "as `le` has it"
    for effort in BY_NAME["tenuto_choice_thinking_tokens"].values["effort"]:
        assert samples["tenuto_choice_thinking_tokens_bucket", "m", effort, "1e+06"] == 0
    assert samples["tenuto_running_choices", "m", "before"] == 0
    assert samples["tenuto_thinking_tokens_total", "m"] == 0
