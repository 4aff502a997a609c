"""The training loop."""

import math
import random
import time
from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from tenuto_training.masking import IGNORED
from tenuto_training.tiny.batches import Batch, batches
from tenuto_training.tiny.examples import ExampleSource
from tenuto_training.tiny.model import build_model
from tenuto_training.tiny.settings import TrainingSettings

MATRIX_RATE = 0.02
"""Peak learning rate of Muon, for the weights inside the layers."""
OTHER_RATE = 3e-3
"""Peak learning rate of AdamW, for embeddings, norms and biases."""
WEIGHT_DECAY = 0.05
WARMUP_STEPS = 50
LAST_RATE = 0.02
"""Learning rate at the end, as a share of the peak."""
CLIP = 1.0
REPORT_EVERY = 50


def train(
    settings: TrainingSettings, tokenizer: PreTrainedTokenizerFast, report: Callable[[str], None]
) -> Qwen2ForCausalLM:
    """Train a model in float32. Equal settings give bit-identical weights on one kind of processor."""
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(settings.seed)
    rng = random.Random(settings.seed)
    model = build_model(tokenizer)
    optimizers = build_optimizers(model)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, settings.steps))
        for optimizer in optimizers
    ]
    data = batches(ExampleSource(tokenizer, rng), rng, settings.batch_size, tokenizer.pad_token_id)
    started = time.monotonic()
    for step in range(1, settings.steps + 1):
        loss = loss_of(model, next(data))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        if step % REPORT_EVERY == 0 or step == settings.steps:
            report(f"step {step}/{settings.steps}  loss {loss.item():.4f}  {time.monotonic() - started:.0f} s")
    return model.eval()


def build_optimizers(model: Qwen2ForCausalLM) -> list[torch.optim.Optimizer]:
    """Build Muon for the matrices inside the layers and AdamW for all other parameters."""
    named = dict(model.model.layers.named_parameters(prefix="model.layers"))
    matrices = {name for name, parameter in named.items() if parameter.dim() == 2}
    others = [parameter for name, parameter in model.named_parameters() if name not in matrices]
    return [
        torch.optim.Muon([named[name] for name in sorted(matrices)], lr=MATRIX_RATE, weight_decay=WEIGHT_DECAY),
        torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(step: int, steps: int) -> float:
    """Return the learning rate as a share of the peak: linear warm-up, then a cosine down to `LAST_RATE`."""
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    cosine = (1 + math.cos(math.pi * step / steps)) / 2
    return warmup * (LAST_RATE + (1 - LAST_RATE) * cosine)


def loss_of(model: Qwen2ForCausalLM, batch: Batch) -> torch.Tensor:
    """Return the mean cross-entropy of the trained tokens.

    Padding comes after the text, where causal attention does not see it, so no attention mask is needed. Logits are
    computed only for the trained positions.
    """
    hidden = model.model(input_ids=batch.ids).last_hidden_state[:, :-1]
    labels = batch.labels[:, 1:]
    trained = labels != IGNORED
    return cross_entropy(model.lm_head(hidden[trained]), labels[trained])
