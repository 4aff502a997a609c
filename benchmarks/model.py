"""The model that servers are compared on: random weights, Qwen2.5's vocabulary, `<think>` in the template.

The vocabulary is a real one, 152,064 rows, because that is what budgets, samplers and parsers work on; layers are few,
so that a step takes about as long here as one of a large model does on the GPUs that it needs.
"""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from transformers import AddedToken, Qwen2Config, Qwen2ForCausalLM

from tenuto_testing.qwen_vocabulary import tokenizer as qwen_tokenizer

ROWS = 152_064
START, END = "<think>", "</think>"

#: Opens the thinking, as DeepSeek-R1's does.
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)


def save_random(folder: Path, tokenizer: Any, silent: Sequence[int], **sizes: Any) -> Path:
    """Write a model with random weights, always the same ones for a configuration, and its tokenizer.

    Args:
        silent: rows that are as good as never drawn.
        sizes: of the configuration.
    """
    configuration = Qwen2Config(
        tie_word_embeddings=True, eos_token_id=tokenizer.eos_token_id, bos_token_id=None, **sizes
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Qwen2ForCausalLM(configuration).float().eval()
    with torch.no_grad():
        model.model.embed_tokens.weight[list(silent)] = 0.0
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def add_markers(tokenizer: Any) -> None:
    """START and END become tokens of their own."""
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in (START, END)])


def save_model(folder: Path, *, hidden: int = 256, layers: int = 4, context: int = 40_960) -> Path:
    """Write the model, which never ends its thinking of itself, and its tokenizer."""
    tokenizer = deepcopy(qwen_tokenizer())  # that one is shared
    add_markers(tokenizer)
    tokenizer.chat_template = TEMPLATE
    return save_random(
        folder,
        tokenizer,
        range(151_643, ROWS),  # control tokens, and rows without a token
        vocab_size=ROWS,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=1,
        max_position_embeddings=context,
    )
