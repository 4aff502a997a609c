"""vLLM engines inside this process: the first costs the import of vLLM, each further one a fraction of a second."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import vllm.envs
from vllm import LLM, EngineArgs, RequestOutput, SamplingParams
from vllm.config import VllmConfig

from tenuto_decoding import ThinkingMarkers
from tenuto_decoding.vllm_v1 import ThinkingLogitsProcessor

from .random_model import Ids

SETTINGS: Mapping[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 512,
    "max_num_seqs": 128,
    "kv_cache_memory_bytes": 64 << 20,
    "max_logprobs": -1,
    "seed": 0,
}


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine, and the budget processor in it."""

    llm: LLM

    @property
    def processor(self) -> ThinkingLogitsProcessor:
        (found,) = self.llm.collective_rpc(_budget_processor)
        assert isinstance(found, ThinkingLogitsProcessor)
        return found

    def use(self, markers: ThinkingMarkers) -> None:
        """From now on, requests think with these markers."""
        self.processor._markers = markers

    def generate(
        self, prompts: Sequence[Ids], parameters: SamplingParams | Sequence[SamplingParams]
    ) -> list[RequestOutput]:
        """Replies to prompts of ids, in their order."""
        given = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        replies: list[RequestOutput] = self.llm.generate(given, parameters, use_tqdm=False)
        return replies

    def ids(self, prompts: Sequence[Ids], parameters: SamplingParams | Sequence[SamplingParams]) -> list[Ids]:
        """The same, as the ids of the first reply to each."""
        return [tuple(reply.outputs[0].token_ids) for reply in self.generate(prompts, parameters)]


class Engines:
    """Starts engines and keeps references: the first that is collected would end the process groups that all share."""

    def __init__(self) -> None:
        self._kept: list[LLM] = []

    def start(
        self,
        model: Path,
        *,
        processor: type[ThinkingLogitsProcessor] | None = ThinkingLogitsProcessor,
        markers: ThinkingMarkers | None = None,
        asynchronous: bool = False,
        **settings: Any,
    ) -> Engine:
        """An engine on the model; with `processor=None` a plain one.

        vLLM turns asynchronous scheduling off on CPU when it checks its configuration; it works, so this undoes it.
        """
        given: dict[str, Any] = {**SETTINGS, **settings}
        if processor is not None:
            given["logits_processors"] = [*given.get("logits_processors", ()), processor]
        if markers is not None:
            given["additional_config"] = {"thinking": {"start": markers.start, "end": markers.end}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(EngineArgs, "create_engine_config", _scheduled(asynchronous))
            llm = LLM(str(model), **given)
        self._kept.append(llm)
        engine = Engine(llm)
        if markers is not None:
            engine.use(markers)
        return engine

    def stop(self) -> None:
        for llm in self._kept:
            llm.llm_engine.engine_core.shutdown()
        self._kept.clear()


@contextmanager
def in_process_engines() -> Iterator[Engines]:
    """Engines for a limited time; restores the environment and torch's settings, which vLLM changes."""
    environment = dict(os.environ)
    set_threads, threads = torch.set_num_threads, torch.get_num_threads()
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1"}
    engines = Engines()
    try:
        yield engines
    finally:
        engines.stop()
        torch.set_num_threads = set_threads
        torch.set_num_threads(threads)
        vllm.envs.disable_envs_cache()
        os.environ.clear()
        os.environ |= environment


def _budget_processor(worker: Any) -> ThinkingLogitsProcessor | None:
    processors = worker.model_runner.input_batch.logitsprocs.all
    return next((each for each in processors if isinstance(each, ThinkingLogitsProcessor)), None)


def _scheduled(asynchronous: bool) -> Callable[..., VllmConfig]:
    create = EngineArgs.create_engine_config

    def create_engine_config(*arguments: Any, **named: Any) -> VllmConfig:
        config = create(*arguments, **named)
        config.scheduler_config.async_scheduling = asynchronous
        return config

    return create_engine_config
