"""The tokenizer, and the built-in model in the repository."""

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from tenuto_training.tiny.model import CONTEXT
from tenuto_training.tiny.model_folder import read_model
from tenuto_training.tiny.settings import default_output
from tenuto_training.tiny.tokenizer import build_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(CONTEXT)


@pytest.fixture(scope="session")
def committed() -> Path:
    """The folder of the built-in model."""
    return default_output()


@pytest.fixture(scope="session")
def model(committed: Path) -> Qwen2ForCausalLM:
    torch.set_num_threads(1)
    return read_model(committed)
