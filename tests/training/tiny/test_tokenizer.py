"""The tokenizer encodes any text, and the markers have as many tokens as in Qwen2.5."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tenuto_training.formats import ANSWER, CAP_SUFFIX, THINK, prompt
from tenuto_training.tiny.model import CONTEXT
from tenuto_training.tiny.task import GOODS
from tenuto_training.tiny.tokenizer import SPECIAL_TOKENS, WORDS, build_tokenizer

TOKENIZER = build_tokenizer(CONTEXT)
IM_START = TOKENIZER.convert_tokens_to_ids("<|im_start|>")


def pieces(text: str) -> list[str]:
    return [TOKENIZER.decode([token]) for token in TOKENIZER.encode(text)]


@given(st.text())
def test_any_text_round_trips(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_every_byte_is_in_the_vocabulary() -> None:
    assert len(pre_tokenizers.ByteLevel.alphabet()) == 256
    assert set(pre_tokenizers.ByteLevel.alphabet()) <= set(TOKENIZER.get_vocab())


@pytest.mark.parametrize("word", [*WORDS, *(f" {name}" for name in GOODS)])
def test_the_words_of_the_task_are_single_tokens(word: str) -> None:
    assert len(TOKENIZER.encode(word)) == 1


def test_ids_are_a_range_with_the_special_tokens_at_its_end() -> None:
    vocabulary = TOKENIZER.get_vocab()
    assert sorted(vocabulary.values()) == list(range(len(TOKENIZER)))
    assert [vocabulary[token] for token in SPECIAL_TOKENS] == list(range(len(TOKENIZER) - 3, len(TOKENIZER)))
    assert set(TOKENIZER.all_special_tokens) <= set(SPECIAL_TOKENS)


def test_markers_and_wait_have_the_lengths_of_qwen() -> None:
    assert pieces(THINK) == ["<|im_start|>", "think"]
    assert pieces(ANSWER) == ["<|im_start|>", "answer"]
    assert pieces(CAP_SUFFIX) == ["<|im_start|>", "answer", "\n", "Final", " Answer", ":"]
    assert pieces("Wait") == ["Wait"]
    assert pieces("\nWait") == ["\n", "Wait"]
    assert pieces("Hmm,") == ["Hmm", ","]
    assert pieces("Alternatively") == ["Alternatively"]


def test_every_digit_is_a_token() -> None:
    assert pieces("12 + 345") == ["1", "2", " +", " ", "3", "4", "5"]


def test_the_chat_template_is_chatml_without_a_default_system_message() -> None:
    chat: list[dict[str, str | None]] = [{"role": "user", "content": "Hi"}]
    assert TOKENIZER.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) == prompt("Hi", None)
    chat = [{"role": "system", "content": "Be"}, *chat, {"role": "assistant", "content": None}]
    assert TOKENIZER.apply_chat_template(chat, tokenize=False) == (
        "<|im_start|>system\nBe<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n"
    )


def test_the_tokenizer_in_the_repository_equals_the_built_one(
    committed: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    assert PreTrainedTokenizerFast.from_pretrained(committed).backend_tokenizer.to_str() == (
        tokenizer.backend_tokenizer.to_str()
    )
    # `transformers` and vLLM load it as a Qwen2 tokenizer, by the model's architecture, with equal results.
    loaded = AutoTokenizer.from_pretrained(committed)
    assert loaded.get_vocab() == tokenizer.get_vocab()
    for line in (committed / "problems.jsonl").read_text().splitlines():
        assert loaded.encode(prompt(line, None)) == tokenizer.encode(prompt(line, None))
    assert loaded.chat_template == tokenizer.chat_template
    assert (loaded.eos_token, loaded.model_max_length) == ("<|im_end|>", CONTEXT)
