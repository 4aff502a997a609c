import pytest

from tenuto_testing.reply_counter import ReplyCounter


@pytest.fixture(scope="module")
def counter() -> ReplyCounter:
    return ReplyCounter()


@pytest.mark.parametrize(
    ("reply", "tokens"),
    [
        ("<|im_start|>think\n1 2<|im_start|>answer\n3", "\n1 2"),
        ("<|im_start|>think\n1 2", "\n1 2"),
        ("<|im_start|>think\n1 2<|im_start|>", "\n1 2"),
        ("<|im_start|>think\n1 2<|im_end|>", "\n1 2"),
        ("<|im_start|>think\n1 2<|im_start|><|im_end|>", "\n1 2<|im_start|>"),
        ("<|im_start|>think\n1<|im_start|>answer\n<|im_start|>think\n2<|im_end|>", "\n1\n2"),
        ("1 2<|im_end|>", ""),
    ],
)
def test_thinking_is_what_is_between_the_markers_however_the_reply_ends(
    counter: ReplyCounter, reply: str, tokens: str
) -> None:
    assert counter.count_all(counter.encode(reply), None) == len(counter.encode(tokens))
