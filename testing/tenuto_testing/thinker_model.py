"""A tiny random model of the `<think>` family, made from a seed, with tools and a switch for thinking.

It writes letters, spaces and line ends at random, and at times a marker, the opener of a tool call or the end of the
reply. Each drawn id can be recovered from the reply's text, so that budgets and grammars can be checked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from .byte_tokenizer import make_tokenizer

NAME = "thinker"
THINKER_OPTIONS = (
    *("--served-model-name", NAME, "--dtype", "float32", "--enforce-eager", "--max-model-len", "2048"),
    *("--tool-call-parser", "hermes", "--enable-auto-tool-choice"),
)

SEED = 7
MARKERS = ("<think>", "</think>", "<tool_call>", "</tool_call>")

#: Like Qwen3's: thinking in earlier turns is omitted, and an empty block switches thinking off.
TEMPLATE = """\
{%- macro turn(role, text) %}{{ '<|im_start|>' + role + '\\n' + text + '<|im_end|>\\n' }}{% endmacro %}
{%- if tools %}{{ turn('system', tools | tojson) }}{% endif %}
{%- for message in messages %}
{%- set content = message.content if message.content is string else '' %}
{%- if message.role == 'assistant' and loop.last and message.reasoning_content %}
{{- turn('assistant', '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' + content) }}
{%- else %}
{{- turn(message.role, content) }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}
{%- if open_thinking is defined %}{{ '<think>\\n' }}{% endif %}
{%- endif %}"""

#: Added to the logits of these texts; all other bytes are practically never drawn.
PREFERENCES: Mapping[str, float] = {
    **dict.fromkeys("abcdefgh", 4.0),
    **dict.fromkeys("0123456789", 1.0),
    " ": -1.5,  # otherwise it would write white space endlessly where a grammar allows it
    "\n": -1.5,
    ".": 3.0,
    '"': 3.0,
    "}": 3.0,
    "]": 3.0,
    "{": 1.0,
    ":": 2.0,
    ",": 2.0,
    "Wait": 2.0,
    "<think>": 3.0,
    "</think>": 3.5,
    "<tool_call>": 1.5,
    "</tool_call>": 1.5,
    "<|im_end|>": 2.0,
    "<|endoftext|>": 1.0,
}
OTHER_PREFERENCE = -6.0
#: The weight of the text so far.
NOISE = 100.0


def save_thinker(folder: Path) -> Path:
    """Write the model and its tokenizer."""
    tokenizer = make_tokenizer(TEMPLATE, MARKERS)
    model = _model(tokenizer)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def _model(tokenizer: Any) -> Qwen2ForCausalLM:
    """Heads are 32 wide: vLLM's attention on CPU takes nothing narrower."""
    configuration = Qwen2Config(
        vocab_size=len(tokenizer.get_vocab()),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.1,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = Qwen2ForCausalLM(configuration).float().eval()
    preferences = torch.full((configuration.vocab_size,), OTHER_PREFERENCE)
    for text, weight in PREFERENCES.items():
        (token,) = tokenizer.encode(text, add_special_tokens=False)
        preferences[token] = weight
    # One dimension of the residual stream is always large: after the norm it is a constant, eight.
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 100.0
        model.model.norm.weight[1:] = NOISE
        texts = torch.randint(configuration.vocab_size, (16, 64), generator=torch.Generator().manual_seed(SEED))
        usual = model(texts).logits.mean((0, 1))
        model.lm_head.weight[:, 0] += (preferences - usual) / configuration.hidden_size**0.5
    return model
