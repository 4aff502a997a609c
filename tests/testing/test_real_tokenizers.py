"""What the published tokenizers have in common with each other's markers, and what they have not."""

import random

import pytest

from tenuto_testing.real_tokenizers import deepseek, mistral, qwen25
from tenuto_testing.tokenizations import random_tokenization

TEXT = "I am done.</think>\n\nThe café costs 12 €.</thought> "


def texts(tokenizer: object, text: str) -> list[str]:
    return [tokenizer.decode([token]) for token in tokenizer.encode(text, add_special_tokens=False)]  # type: ignore[attr-defined]


def test_qwen_merges_a_spelled_marker_with_the_text_around_it() -> None:
    assert texts(qwen25(), "x.</think>\n\ny") == ["x", ".</", "think", ">\n\n", "y"]
    assert texts(qwen25(), "<think>") == ["<th", "ink", ">"]


def test_deepseek_has_the_markers_as_tokens_and_flags_no_turn_marker_special() -> None:
    tokenizer = deepseek()
    assert texts(tokenizer, "x.</think>\n\ny") == ["x", ".", "</think>", "\n\n", "y"]
    assert texts(tokenizer, "x.</thought>\n\n") == ["x", ".</", "thought", ">\n\n"]
    flags = {token.content: token.special for token in tokenizer.added_tokens_decoder.values()}
    assert flags["<｜end▁of▁sentence｜>"]
    names = ("<think>", "</think>", "<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>", "｜DSML｜")
    assert [flags[name] for name in names] == [False] * 6


def test_mistral_spells_its_control_tokens_when_it_encodes_them() -> None:
    tokenizer = mistral()
    assert texts(tokenizer, "[THINK]") == ["[", "TH", "INK", "]"]
    assert [tokenizer.get_vocab()[text] for text in ("[THINK]", "[/THINK]", "[TOOL_CALLS]", "</s>")] == [34, 35, 9, 2]
    assert tokenizer.decode([34, 1097, 35]) == "[THINK]a[/THINK]"
    assert tokenizer.all_special_ids == list(range(1000))


@pytest.mark.parametrize("make", [qwen25, deepseek])
def test_another_tokenization_has_the_same_text(make: object) -> None:
    tokenizer, chance = make(), random.Random(1)  # type: ignore[operator]
    drawn = {random_tokenization(tokenizer, TEXT, chance) for _ in range(50)}
    assert len(drawn) == 50
    assert {tokenizer.decode(list(ids)) for ids in drawn} == {TEXT}
