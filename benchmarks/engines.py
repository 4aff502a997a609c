"""Engines that generate the same long thinking in turn: without a budget, under vLLM's own, and under ours."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer
from vllm import LLM, SamplingParams
from vllm.config.reasoning import ReasoningConfig
from vllm.sampling_params import RequestOutputKind

from tenuto_decoding.vllm_v1 import ThinkingLogitsProcessor
from tenuto_testing.engines import in_process_engines

from .model import END, START, add_markers, save_random

TOKENIZER = Path(__file__).parents[1] / "server" / "tenuto_server" / "s1_tiny"
ROWS = 576
CONTEXT = 40_960
BYTES_PER_TOKEN = 2 * 32 * 4  # keys and values of one head of 32 in float32
#: More than the context holds.
FAR = 1_000_000

#: By name, what a request asks for.
BUDGETS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "vllm": {"thinking_token_budget": FAR},
    "ours": {"extra_args": {"max_thinking_tokens": FAR}},
}


def save_long_model(folder: Path) -> Path:
    """A random model of one thin layer with a small vocabulary: what a long run costs is not the model's doing."""
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    add_markers(tokenizer)
    return save_random(
        folder,
        tokenizer,
        [*tokenizer.added_tokens_decoder, *range(len(tokenizer), ROWS)],  # control tokens, markers among them
        vocab_size=ROWS,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
    )


class Engine:
    """One engine with the same budget for all of its requests."""

    def __init__(self, llm: LLM, budget: Mapping[str, Any]) -> None:
        self._engine = llm.llm_engine
        self._start = llm.get_tokenizer().encode(START, add_special_tokens=False)
        self._budget = budget

    @contextmanager
    def generating(self, sequences: int, length: int) -> Iterator[Callable[[int], list[float]]]:
        """So many sequences that begin to think; gives what makes so many steps, and tells the milliseconds of each.

        Raises:
            RuntimeError: in a step after which a sequence did not have exactly one token more.
        """
        params = SamplingParams(
            temperature=0.0,
            max_tokens=length,
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,  # as a server that streams has it
            **self._budget,
        )
        names = [str(number) for number in range(sequences)]
        for number, name in enumerate(names):
            self._engine.add_request(name, {"prompt_token_ids": [5 + number, *self._start]}, params)

        def steps(number: int) -> list[float]:
            taken = []
            for _ in range(number):
                began = time.perf_counter()
                outputs = self._engine.step()
                taken.append((time.perf_counter() - began) * 1e3)
                if [len(output.outputs[0].token_ids) for output in outputs] != [1] * sequences:
                    raise RuntimeError("a step gave another number of tokens than one for each sequence")
            return taken

        try:
            yield steps
        finally:
            self._engine.abort_request(names)


@contextmanager
def engines(model: Path, tokens: int) -> Iterator[dict[str, Engine]]:
    """One for each of BUDGETS, by name, with room for so many tokens at a time; all in this process."""
    settings: dict[str, Any] = {
        "max_model_len": CONTEXT,
        "max_num_seqs": 64,
        "kv_cache_memory_bytes": 2 * tokens * BYTES_PER_TOKEN,
        "enable_prefix_caching": False,
    }
    with in_process_engines() as kept:
        started = {
            "none": kept.start(model, processor=None, **settings),
            "vllm": kept.start(
                model,
                processor=None,
                reasoning_config=ReasoningConfig(reasoning_start_str=START, reasoning_end_str=END),
                **settings,
            ),
            "ours": kept.start(model, processor=ThinkingLogitsProcessor, **settings),
        }
        yield {name: Engine(engine.llm, BUDGETS[name]) for name, engine in started.items()}
