"""A LoRA adapter for the built-in model, in PEFT's format, that changes nothing."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from .servers import MODEL_FOLDER

_RANK = 8


def save_adapter(folder: Path) -> Path:
    """Write the adapter into a new folder. Its second factors are 0, so that replies are those of the model."""
    folder.mkdir()
    model = json.loads((MODEL_FOLDER / "config.json").read_text())
    size = model["hidden_size"]
    weights = {}
    for layer in range(model["num_hidden_layers"]):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{name}.lora_A.weight"] = torch.ones(_RANK, size)
        weights[f"{name}.lora_B.weight"] = torch.zeros(size, _RANK)
    save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": _RANK, "lora_alpha": _RANK, "target_modules": ["q_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
