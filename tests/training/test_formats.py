"""The s1 format, character by character."""

import pytest

from tenuto_training import formats


def test_a_training_text_has_the_format_of_s1() -> None:
    text = formats.training_text("What is 1+1?", "I count.\n\nTwo.\n", " 2 ")
    assert text == (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nWhat is 1+1?<|im_end|>\n"
        "<|im_start|>assistant\n"
        "<|im_start|>think\nI count.\n\nTwo.\n"
        "<|im_start|>answer\nAnswer: 2<|im_end|>\n"
    )


def test_an_answer_with_its_own_answer_prefix_gets_no_second_one() -> None:
    assert formats.assistant_text("t", "So.\nAnswer: 4").endswith("<|im_start|>answer\nSo.\nAnswer: 4<|im_end|>\n")


def test_the_system_message_is_optional() -> None:
    assert formats.prompt("Hi", system=None) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("thinking", "suffix"),
    [
        ("one\n", "<|im_start|>answer\nFinal Answer:"),
        ("one", "\n<|im_start|>answer\nFinal Answer:"),
        ("", "\n<|im_start|>answer\nFinal Answer:"),
    ],
)
def test_a_cap_starts_the_answer_on_a_new_line(thinking: str, suffix: str) -> None:
    assert formats.cap_suffix(thinking) == suffix
