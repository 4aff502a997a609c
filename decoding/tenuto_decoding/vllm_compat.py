"""All that this package uses of vLLM and that is not part of its documented interfaces.

Those are the two logits processor interfaces, `SamplingParams`, `VllmConfig` and worker extensions. vLLM 0.32 and 0.33
are supported; `tests/decoding/test_vllm_compat.py` pins every name, signature and behaviour.
"""

from vllm.config import ModelConfig, VllmConfig
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from .markers import Tokenizer

__all__ = ["process_dict_updates", "template_of", "tokenizer_of"]


def tokenizer_of(config: VllmConfig | ModelConfig) -> Tokenizer:
    """The tokenizer of the engine's model; the same object at every call."""
    tokenizer: Tokenizer = cached_tokenizer_from_config(getattr(config, "model_config", config))
    return tokenizer


def template_of(tokenizer: Tokenizer) -> str | None:
    """The chat template that a chat without tools gets; None where the tokenizer writes chats in code, or none."""
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):  # several by name
        template = template.get("default")
    return template if isinstance(template, str) and template else None
