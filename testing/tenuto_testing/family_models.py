"""Tiny random models of every family of markers, whose tokenizers have the family's tokens."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from openai_harmony import HarmonyEncodingName, load_harmony_encoding
from transformers import (
    AddedToken,
    GptOssConfig,
    GptOssForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

from tenuto_decoding import FAMILIES, ThinkingMarkers

from .byte_tokenizer import SPECIAL, make_tokenizer
from .real_tokenizers import save_tekken

SEED = 3
#: ChatML, which shows no family: the tests name it. Its last line end would complete HyperCLOVAX's end marker.
TEMPLATE = """\
{%- for message in messages %}
{{- "<|im_start|>" + message.role + "\\n" + message.content + "<|im_end|>\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant' }}{% endif %}"""
#: Heads are 32 wide: vLLM's attention on CPU takes nothing narrower.
SIZES: Mapping[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
_TOKEN = re.compile(r"<[^<>\s]+>|\[[A-Z_/]+\]")
_HARMONY_ROWS, _TEKKEN_ROWS = 201_088, 131_072


def tokens_of(markers: ThinkingMarkers) -> tuple[str, ...]:
    """The parts of the family's texts that are tokens of its vocabulary: what stands in angle or square brackets."""
    texts = (
        *(markers.start, markers.end, markers.answer_prefix, *markers.start_spellings, *markers.end_spellings),
        *(*markers.also_ends, *markers.stops, *markers.inside),
    )
    return tuple(dict.fromkeys(token for text in texts for token in _TOKEN.findall(text) if token not in SPECIAL))


def save_family(folder: Path, *families: str) -> Path:
    """Write a Qwen2 that writes each token of the families' vocabulary with about the same probability."""
    tokens = (token for family in families for token in tokens_of(FAMILIES[family]))
    tokenizer = make_tokenizer(TEMPLATE, tuple(dict.fromkeys(tokens)))
    if any(tokenizer.eos_token in FAMILIES[family].end for family in families):
        tokenizer.eos_token = tokenizer.pad_token  # HyperCLOVAX ends turns and thinking with the same token
    tokenizer.save_pretrained(folder)
    configuration = Qwen2Config(
        **SIZES, vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, bos_token_id=None
    )
    return _save(folder, lambda: Qwen2ForCausalLM(configuration))


def save_gpt_oss(folder: Path) -> Path:
    """Write a model of gpt-oss's own architecture, with its whole vocabulary: vLLM writes its prompts in ids."""
    encoding, alphabet = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS), bytes_to_unicode()
    vocabulary = {}
    for token in range(_HARMONY_ROWS):
        spelt = encoding._inner.decode_bytes([token])  # a token may be a part of a character, which is no text
        text = spelt.decode(errors="replace")
        vocabulary[text if encoding.is_special_token(token) else "".join(alphabet[byte] for byte in spelt)] = token
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary, merges=[], eos_token="<|return|>", pad_token="<|endoftext|>", unk_token=None
    )
    control = ("start", "channel", "message", "end", "call", "constrain", "startoftext")
    tokenizer.add_tokens([AddedToken(f"<|{name}|>", special=True, normalized=False) for name in control])
    tokenizer.chat_template = (
        "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}<|start|>assistant"
    )
    tokenizer.save_pretrained(folder)
    configuration = GptOssConfig(
        **SIZES,
        vocab_size=_HARMONY_ROWS,
        head_dim=32,
        num_local_experts=2,
        num_experts_per_tok=1,
        eos_token_id=tokenizer.eos_token_id,
    )
    return _save(folder, lambda: GptOssForCausalLM(configuration))


def save_magistral(folder: Path) -> Path:
    """Write a model with a `tekken.json`, whose control tokens no text is encoded to."""
    folder.mkdir(exist_ok=True)
    save_tekken(folder)
    configuration = MistralConfig(**SIZES, vocab_size=_TEKKEN_ROWS, head_dim=32, bos_token_id=1, eos_token_id=2)
    return _save(folder, lambda: MistralForCausalLM(configuration))


def _save(folder: Path, make: Callable[[], Any]) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        model = make()
    model.float().eval().save_pretrained(folder)
    return folder
