"""A tiny random model for every family of markers, whose tokenizer has the family's tokens."""

import re
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from tenuto_decoding import FAMILIES, ThinkingMarkers

from .byte_tokenizer import SPECIAL, make_tokenizer

SEED = 3
#: ChatML, which shows no family: the tests name it.
TEMPLATE = """\
{%- for message in messages %}
{{- "<|im_start|>" + message.role + "\\n" + message.content + "<|im_end|>\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
_TOKEN = re.compile(r"<[^<>\s]+>|\[[A-Z_/]+\]")


def tokens_of(markers: ThinkingMarkers) -> tuple[str, ...]:
    """The parts of the family's texts that are tokens of its vocabulary: what stands in angle or square brackets."""
    texts = (
        *(markers.start, markers.end, markers.answer_prefix, *markers.start_spellings, *markers.end_spellings),
        *(*markers.also_ends, *markers.stops, *markers.inside),
    )
    return tuple(dict.fromkeys(token for text in texts for token in _TOKEN.findall(text) if token not in SPECIAL))


def save_family(folder: Path, family: str) -> Path:
    """Write a model that writes any token of the family's vocabulary with about the same probability."""
    tokenizer = make_tokenizer(TEMPLATE, tokens_of(FAMILIES[family]))
    configuration = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,  # 32 wide each: vLLM's attention on CPU takes nothing narrower
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = Qwen2ForCausalLM(configuration).float().eval()
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder
