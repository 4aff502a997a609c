"""Writes and reads the model folder: the files of `s1-tiny`."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from tenuto_training.tiny.figures import Figures, card
from tenuto_training.tiny.task import Bill

WEIGHTS = "model.safetensors"


def write_model(folder: Path, model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write configuration, tokenizer and weights, the weights as bfloat16. `folder` must exist."""
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / WEIGHTS).chmod(0o644)  # safetensors allows only the owner to read them; another user may run the server


def read_model(folder: Path) -> Qwen2ForCausalLM:
    """Read the model, with its weights as float32."""
    return Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def weights_sha256(folder: Path) -> str:
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def write_problems(folder: Path, bills: Iterable[Bill]) -> None:
    """Write the held-out problems, one JSON object with `question` and `answer` in each line."""
    lines = [json.dumps({"question": bill.question(), "answer": str(bill.total)}) + "\n" for bill in bills]
    (folder / "problems.jsonl").write_text("".join(lines), encoding="utf-8")


def write_figures(folder: Path, figures: Figures) -> None:
    """Write `figures.json` and the model card."""
    (folder / "figures.json").write_text(json.dumps(asdict(figures), indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(figures), encoding="utf-8")
