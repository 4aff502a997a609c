"""Tokenizers of the two marker families, and vLLM's command line where a test needs it."""

from typing import Any

import pytest

from tenuto_testing.byte_tokenizer import make_tokenizer
from tests.decoding.conftest import PLAIN_ADDED


@pytest.fixture(scope="session")
def chatml() -> Any:
    """What s1 models use: markers of a control token and a word."""
    return make_tokenizer("<|im_start|>{{ messages }}<|im_end|>")


@pytest.fixture(scope="session")
def thinker() -> Any:
    """Markers that are tokens of their own, `<think>` and `</think>`."""
    return make_tokenizer("<|im_start|>{{ messages }}<think></think>", PLAIN_ADDED)
