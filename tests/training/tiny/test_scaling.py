"""Totals in answers, and the targets of the built-in model."""

from dataclasses import replace

import pytest

from tenuto_training.tiny.resuming import Thinking
from tenuto_training.tiny.scaling import Scaling, ScalingRow, extract_total, missed_targets

GOOD = Scaling(
    waits=tuple(
        ScalingRow(waits, accuracy, 0) for waits, accuracy in ((0, 0.1), (1, 0.3), (2, 0.6), (4, 0.95), (6, 0.95))
    ),
    caps=tuple(ScalingRow(cap, accuracy, 0) for cap, accuracy in ((0, 0.0), (64, 0.1), (128, 0.5), (256, 0.95))),
)


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("\nAnswer: 35<|im_end|>", 35),
        ("\nFinal Answer: 7<|im_end|>", 7),
        ("\nAnswer: 3\nAnswer: 4", 4),
        ("\nAnswer:<|im_end|>", None),
        ("Wait", None),
    ],
)
def test_the_total_is_the_number_after_the_last_answer(answer: str, number: int | None) -> None:
    assert extract_total(answer) == number


def test_good_results_miss_no_target() -> None:
    assert missed_targets(GOOD) == []
    assert GOOD.best.setting == 4


@pytest.mark.parametrize(
    ("waits", "message"),
    [
        ((0.41, 0.9), "accuracy without waits is 0.410"),
        ((0.1, 0.74), "best accuracy is 0.740"),
        ((0.40, 0.74), "waits add 0.340"),
        ((0.1, 0.5, 0.5, 0.95), "accuracy does not rise at each step"),
        ((0.1, 0.5, 0.4, 0.95), "accuracy does not rise at each step"),
    ],
)
def test_a_missed_target_of_the_waits_is_named(waits: tuple[float, ...], message: str) -> None:
    scaling = replace(GOOD, waits=tuple(ScalingRow(number, accuracy, 0) for number, accuracy in enumerate(waits)))
    assert any(text.startswith(message) for text in missed_targets(scaling))


@pytest.mark.parametrize(
    ("caps", "message"),
    [
        ((0.06, 0.95), "accuracy at the smallest cap is 0.060"),
        ((0.0, 0.5, 0.4, 0.95), "accuracy falls as the cap grows"),
        ((0.0, 0.9), "the largest cap reaches 0.900"),
    ],
)
def test_a_missed_target_of_the_caps_is_named(caps: tuple[float, ...], message: str) -> None:
    scaling = replace(GOOD, caps=tuple(ScalingRow(number, accuracy, 0) for number, accuracy in enumerate(caps)))
    assert any(text.startswith(message) for text in missed_targets(scaling))


def test_thinking_that_reaches_its_cap_was_not_ended_by_the_model() -> None:
    thinking = Thinking([1, 2, 3], ended=True)
    assert thinking.capped(2) == Thinking([1, 2], ended=False)
    assert thinking.capped(3) == Thinking([1, 2, 3], ended=False)
    assert thinking.capped(4) == thinking
