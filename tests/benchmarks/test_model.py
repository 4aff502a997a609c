from pathlib import Path

from transformers import AutoTokenizer

from benchmarks.model import TEMPLATE, save_model
from tenuto_testing.qwen_vocabulary import tokenizer


def test_the_model_has_a_tokenizer_of_its_own(tmp_path: Path) -> None:
    before = tokenizer().chat_template, len(tokenizer())
    saved = AutoTokenizer.from_pretrained(save_model(tmp_path, hidden=64, layers=1))
    assert saved.chat_template == TEMPLATE
    assert {"<think>", "</think>"} <= saved.get_vocab().keys()
    assert (tokenizer().chat_template, len(tokenizer())) == before, "the shared one is as it was"
