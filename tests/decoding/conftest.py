"""Tokenizers that the tests of this package share."""

from typing import Any

import pytest

from tenuto_testing.byte_tokenizer import make_tokenizer

PLAIN_ADDED = ("<think>", "</think>", "<tool_call>")


@pytest.fixture(scope="session")
def chatml() -> Any:
    """A ChatML tokenizer without thinking markers: what s1 models use."""
    return make_tokenizer("<|im_start|>{{ messages }}<|im_end|>")


@pytest.fixture(scope="session")
def thinker() -> Any:
    """A ChatML tokenizer with `<think>`, as of Qwen3."""
    return make_tokenizer("<|im_start|>{{ messages }}<think></think>", PLAIN_ADDED)
