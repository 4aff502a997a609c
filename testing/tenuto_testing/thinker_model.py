"""A tiny random model of the `<think>` family, made from a seed, with tools and a switch for thinking.

What it writes is noise, but noise of the right kind: letters, spaces and line ends, and now and then a marker, the
opener of a tool call or the end of the reply. Every id that is drawn can be read off the reply, so what a budget or a
grammar promises can be checked.
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

#: In the manner of Qwen3: thinking in earlier turns is left out, and thinking can be switched off by an empty block.
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

#: What is added to the logits of these texts; all other bytes are as good as never drawn.
LIKING: Mapping[str, float] = {
    **dict.fromkeys("abcdefgh", 4.0),
    **dict.fromkeys("0123456789", 1.0),
    " ": -1.5,  # else it would write white space without end where a grammar allows that
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
DISLIKE = -6.0
#: How much the text so far counts.
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
    liking = torch.full((configuration.vocab_size,), DISLIKE)
    for text, weight in LIKING.items():
        (token,) = tokenizer.encode(text, add_special_tokens=False)
        liking[token] = weight
    # One dimension of the residual stream is large whatever is written: behind the norm it is a constant, eight.
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 100.0
        model.model.norm.weight[1:] = NOISE
        texts = torch.randint(configuration.vocab_size, (16, 64), generator=torch.Generator().manual_seed(SEED))
        usual = model(texts).logits.mean((0, 1))
        model.lm_head.weight[:, 0] += (liking - usual) / configuration.hidden_size**0.5
    return model
