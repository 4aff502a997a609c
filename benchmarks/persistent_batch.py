"""vLLM's own thinking budget and ours on the same persistent batch, step by step as the V1 model runner drives them."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from vllm import EngineArgs, SamplingParams
from vllm.config import VllmConfig
from vllm.config.reasoning import ReasoningConfig
from vllm.v1.sample.logits_processor import BatchUpdate
from vllm.v1.sample.thinking_budget_state import ThinkingBudgetStateHolder

from tenuto_decoding.vllm_v1 import ThinkingLogitsProcessor

from .model import END, START

BATCH_ROWS = 64
CPU = torch.device("cpu")
#: More tokens than any sequence here has.
FAR = 1_000_000

#: The requests by name: a cap that is not reached, and a floor, below which attempts to stop become "Wait".
BUDGETS: Mapping[str, SamplingParams] = {
    "vllm": SamplingParams(thinking_token_budget=FAR),
    "cap": SamplingParams(extra_args={"max_thinking_tokens": FAR}),
    "floor": SamplingParams(extra_args={"min_thinking_tokens": FAR}),
}


def configuration(model: Path) -> VllmConfig:
    """An engine's configuration with both budgets; no weights are read."""
    return EngineArgs(
        model=str(model),
        dtype="float32",
        max_num_seqs=BATCH_ROWS,
        reasoning_config=ReasoningConfig(reasoning_start_str=START, reasoning_end_str=END),
        logits_processors=[ThinkingLogitsProcessor],
    ).create_engine_config()


class BudgetedBatch:
    """Thinking sequences of one length, all under one of BUDGETS, in a batch that does not change."""

    def __init__(self, config: VllmConfig, prompt: list[int], sequences: int, length: int, budget: str) -> None:
        """`length` is the number of thinking tokens so far; the first step has the budget process them."""
        self._outputs: list[list[int]] = [[] for _ in range(sequences)]
        self._tokens = torch.Generator().manual_seed(sequences)
        added = [(row, BUDGETS[budget], prompt, output) for row, output in enumerate(self._outputs)]
        admitted = BatchUpdate(batch_size=sequences, removed=[], added=added, moved=[])
        self._step = (_vllms if budget == "vllm" else _ours)(config, admitted)
        self._append(length - 1)

    def step(self, logits: torch.Tensor, fresh: torch.Tensor) -> float:
        """One more token for every sequence; the milliseconds that the budget took.

        As in an engine, the logits of a step have just been written.
        """
        self._append(1)
        logits.copy_(fresh)
        began = time.perf_counter()
        self._step(logits, self._outputs)
        return (time.perf_counter() - began) * 1e3

    def _append(self, number: int) -> None:
        """Append ordinary tokens, each an int object of its own, as an engine makes them of sampled ids."""
        drawn = torch.randint(1_000, 100_000, (len(self._outputs), number), generator=self._tokens)
        for output, tokens in zip(self._outputs, drawn, strict=True):
            output += tokens.tolist()


Step = Callable[[torch.Tensor, list[list[int]]], object]


def _vllms(config: VllmConfig, admitted: BatchUpdate) -> Step:
    """As `InputBatch.refresh_metadata` and `Sampler.apply_logits_processors` call it."""
    holder = ThinkingBudgetStateHolder(config.reasoning_config, BATCH_ROWS, 0, CPU, False)
    holder.sync_batch(admitted)
    no_drafts: list[list[int]] = [[] for _ in range(BATCH_ROWS)]

    def step(logits: torch.Tensor, outputs: list[list[int]]) -> None:
        holder.sync_batch(None)
        if holder.has_tracked_requests():
            holder.update_state(outputs, no_drafts, repeat_indices=None)
            holder.apply_to_logits(logits, False, no_drafts)

    return step


def _ours(config: VllmConfig, admitted: BatchUpdate) -> Step:
    processor = ThinkingLogitsProcessor(config, CPU, False)
    processor.update_state(admitted)

    def step(logits: torch.Tensor, outputs: list[list[int]]) -> None:
        processor.update_state(None)
        processor.apply(logits)

    return step
