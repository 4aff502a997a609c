import pytest

from tests.integration.by_hand import ByHand


@pytest.fixture(scope="module")
def by_hand() -> ByHand:
    return ByHand()


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
def test_thinking_is_what_stands_between_the_markers_however_the_reply_ends(
    by_hand: ByHand, reply: str, tokens: str
) -> None:
    assert by_hand.count_all(by_hand.encode(reply), None) == len(by_hand.encode(tokens))
