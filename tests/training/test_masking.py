"""Only the assistant's turns are trained."""

from hypothesis import given
from hypothesis import strategies as st

from tenuto_training.masking import IGNORED, completion_labels

USER, ASSISTANT = [1, 2], [1, 3, 4]
_ = IGNORED


def test_tokens_up_to_the_response_opener_are_not_trained() -> None:
    ids = [9, *USER, 5, 6, *ASSISTANT, 7, 8, 1, 0]
    assert completion_labels(ids, USER, ASSISTANT) == [_, _, _, _, _, _, _, _, 7, 8, 1, 0]


def test_a_later_question_is_not_trained() -> None:
    ids = [*USER, 5, *ASSISTANT, 7, *USER, 6, *ASSISTANT, 8]
    assert completion_labels(ids, USER, ASSISTANT) == [_, _, _, _, _, _, 7, _, _, _, _, _, _, 8]


def test_a_sample_without_its_response_opener_trains_nothing() -> None:
    assert completion_labels([*USER, 5, 6, 1, 3], USER, ASSISTANT) == [_] * 6


@given(st.lists(st.integers(0, 4), max_size=40))
def test_a_label_is_the_token_itself_and_never_part_of_a_question(ids: list[int]) -> None:
    labels = completion_labels(ids, USER, ASSISTANT)
    assert len(labels) == len(ids)
    assert all(label in (IGNORED, token) for label, token in zip(labels, ids, strict=True))
    trained = [position for position, label in enumerate(labels) if label != IGNORED]
    for position in trained:
        before = ids[:position]
        assert any(before[start : start + 3] == ASSISTANT for start in range(len(before) - 2))
