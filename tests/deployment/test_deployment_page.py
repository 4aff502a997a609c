"""The figures of `docs/deployment.md` are computed right, and its commands can be run."""

import re
import shlex

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config
from vllm.v1.kv_cache_interface import FullAttentionSpec

from tenuto_server.config.command_line import parse_command_line
from tenuto_testing import memory_page
from tenuto_testing.memory_page import MACHINES, S1_32B, Machine

TEXT = memory_page.PAGE.read_text()
COMMANDS = [
    re.sub(r"\$\(\(.*?\)\)", "1", command).replace("\\\n", " ")
    for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)
    for command in re.findall(r"tenuto serve (.*?[^\\])\n", block, re.DOTALL)
]


def test_the_figures_of_the_page_are_up_to_date() -> None:
    """`python -m tenuto_testing.memory_page` writes them."""
    assert memory_page.page(TEXT) == TEXT
    for figures in (memory_page.model_line(), memory_page.lengths(), memory_page.machines(), memory_page.api_line()):
        assert figures in TEXT


def test_the_number_of_parameters_is_that_of_the_real_architecture() -> None:
    config = Qwen2Config(
        hidden_size=S1_32B.hidden_size,
        intermediate_size=S1_32B.intermediate_size,
        num_hidden_layers=S1_32B.num_hidden_layers,
        num_attention_heads=S1_32B.num_attention_heads,
        num_key_value_heads=S1_32B.num_key_value_heads,
        vocab_size=S1_32B.vocab_size,
        tie_word_embeddings=False,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert sum(each.numel() for each in model.parameters()) == S1_32B.parameters
    assert round(S1_32B.weight_bytes / 1e9) in (65, 66)


def test_the_bytes_of_a_token_are_those_that_vllm_allocates() -> None:
    spec = FullAttentionSpec(
        block_size=16, num_kv_heads=S1_32B.num_key_value_heads, head_size=S1_32B.head_dim, dtype=torch.bfloat16
    )
    assert S1_32B.num_hidden_layers * spec.page_size_bytes == S1_32B.kv_bytes(16) == 16 * 262_144


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: f"{machine.name} {machine.options}")
def test_what_fits_is_what_weights_and_overhead_leave(machine: Machine) -> None:
    assert S1_32B.num_key_value_heads % machine.tensor_parallel == 0
    used = S1_32B.weight_bytes + S1_32B.kv_bytes(
        machine.kv_tokens(S1_32B) // machine.replicas, machine.kv_bytes_per_value
    )
    free = machine.tensor_parallel * (machine.gib * 0.92 - memory_page.OVERHEAD_GIB) * 2**30 - used
    assert 0 <= free < 2**20


def test_a_model_that_does_not_fit_has_no_room_for_tokens() -> None:
    assert Machine("1 x 24 GB", 24, 1, 1).kv_tokens(S1_32B) == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_have_options_that_exist(command: str) -> None:
    _, args = parse_command_line(shlex.split(command))
    assert args.model in ("simplescaling/s1.1-32B", "MODEL")


def test_no_command_is_overlooked() -> None:
    assert len(COMMANDS) == 6
