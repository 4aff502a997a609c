"""All that this package uses of vLLM and that is not part of its documented interfaces.

Those are the two logits processor interfaces, `SamplingParams`, `VllmConfig` and worker extensions. vLLM 0.32 and 0.33
are supported; `tests/decoding/test_vllm_compat.py` pins every name, signature and behaviour.
"""

from vllm.config import VllmConfig
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from .markers import Tokenizer

__all__ = ["process_dict_updates", "tokenizer_of"]


def tokenizer_of(config: VllmConfig) -> Tokenizer:
    """The tokenizer of the engine's model; the same object at every call."""
    tokenizer: Tokenizer = cached_tokenizer_from_config(config.model_config)
    return tokenizer
