"""The model that servers are compared on: random weights, Qwen2.5's vocabulary, `<think>` in the chat template.

The vocabulary has its real size, 152,064 rows, because budgets, samplers and parsers work on it. There are few layers,
so that a step on a CPU takes about as long as a step of a large model on a GPU.
"""

from copy import deepcopy
from pathlib import Path

import torch
from transformers import AddedToken, Qwen2Config, Qwen2ForCausalLM

from tenuto_testing.qwen_vocabulary import tokenizer as qwen_tokenizer

ROWS = 152_064
START, END = "<think>", "</think>"

#: Opens the thinking, as DeepSeek-R1's template does.
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)


def save_model(folder: Path, *, hidden: int = 256, layers: int = 4) -> Path:
    """Write the model, which never ends its thinking on its own, and its tokenizer; equal sizes give equal weights."""
    tokenizer = deepcopy(qwen_tokenizer())  # that one is shared
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in (START, END)])
    tokenizer.chat_template = TEMPLATE
    configuration = Qwen2Config(
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        vocab_size=ROWS,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=1,
        max_position_embeddings=40_960,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Qwen2ForCausalLM(configuration).float().eval()
    with torch.no_grad():
        model.model.embed_tokens.weight[151_643:] = 0.0  # control tokens, and rows without a token: never drawn
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder
