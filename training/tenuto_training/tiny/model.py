"""The architecture of `s1-tiny`: a Qwen2 of about 0.7 million parameters."""

from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

CONTEXT = 4096
ROW_MULTIPLE = 64
"""The embedding is padded to a multiple of this. As in Qwen2.5, the extra rows decode to no text."""


def build_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """Build a model with random weights from PyTorch's generator, and greedy decoding as its default."""
    rows = -(-len(tokenizer) // ROW_MULTIPLE) * ROW_MULTIPLE
    config = Qwen2Config(
        vocab_size=rows,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        initializer_range=0.05,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tenuto_thinking_family="s1",  # as for any model in the s1 format, neither vocabulary nor template shows it
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
    )
    return model
