"""A run is reproducible, reduces the loss, and writes a model folder."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from tenuto_training.cli import command
from tenuto_training.tiny import training
from tenuto_training.tiny.model_folder import weights_sha256
from tenuto_training.tiny.settings import TrainingSettings
from tenuto_training.tiny.training import rate, train

SHORT = TrainingSettings(steps=2, batch_size=4)


def weights(settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = train(settings, tokenizer, lambda line: None).state_dict()
    return state


def test_equal_settings_give_equal_weights(tokenizer: PreTrainedTokenizerFast) -> None:
    first, second = weights(SHORT, tokenizer), weights(SHORT, tokenizer)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_gives_different_weights(tokenizer: PreTrainedTokenizerFast) -> None:
    first, second = weights(SHORT, tokenizer), weights(replace(SHORT, seed=2), tokenizer)
    assert not torch.equal(first["model.embed_tokens.weight"], second["model.embed_tokens.weight"])


def test_the_loss_falls_and_progress_is_reported(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "REPORT_EVERY", 1)
    lines: list[str] = []
    train(replace(SHORT, steps=12), tokenizer, lines.append)
    assert [line.split("  ")[0] for line in lines] == [f"step {step}/12" for step in range(1, 13)]
    losses = [float(line.split()[3]) for line in lines]
    assert fmean(losses[-4:]) < losses[0] - 0.5


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [rate(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 50)
    assert rates.index(max(rates)) == 49
    assert rates[50:] == sorted(rates[50:], reverse=True)
    assert 0.02 <= rates[-1] < 0.021


def test_a_short_run_writes_a_model_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "model"
    assert command(["tiny", "--steps", "2", "--batch-size", "2", "--problems", "2", "--output", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "step 2/2" in printed
    assert "| waits | accuracy | thinking tokens |" in printed
    assert "target missed: best accuracy is" in printed
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["command"].startswith("tenuto train tiny --steps 2 ")
    assert figures["settings"]["steps"] == 2
    assert figures["weights_sha256"] == weights_sha256(folder)
    assert len((folder / "problems.jsonl").read_text().splitlines()) == 2
    assert figures["weights_sha256"] in (folder / "README.md").read_text()
    assert AutoModelForCausalLM.from_pretrained(folder).dtype == torch.bfloat16
