"""Random cases in one pass on vLLM's V2 model runner: python -m tests.decoding.interpreted.replies HOW MODEL OUT.json

HOW is `plain`, with a cache so small that requests are preempted, or `drafts`, with speculative decoding by n-grams and
asynchronous scheduling, as on GPUs.
"""

import json
import sys
from pathlib import Path
from typing import Any

from . import v2_engine  # noqa: F401  it must come before vLLM

# isort: split
from vllm import SamplingParams
from vllm.v1.worker.gpu.sample.logits_processor import LogitsContext

from tenuto_decoding.gpu.slots import BudgetSlots, Snapshot
from tenuto_decoding.vllm_requests import REQUEST_KEY
from tenuto_decoding.vllm_v2 import ThinkingLogitsProcessor
from tenuto_testing.cases import families
from tenuto_testing.engines import in_process_engines
from tests.decoding.runner_cases import cases_of

WAYS: dict[str, dict[str, Any]] = {
    "plain": {"num_gpu_blocks_override": 25, "block_size": 32, "max_model_len": 192},
    "drafts": {
        "asynchronous": True,
        "speculative_config": {
            "method": "ngram",
            "num_speculative_tokens": 3,
            "prompt_lookup_max": 3,
            "prompt_lookup_min": 1,
        },
    },
}

seen = {"turns": 0, "drafts": 0, "restored": 0}


class FamiliesProcessor(ThinkingLogitsProcessor):
    """The markers go by the request's family; and it is told what the engine did."""

    def add_request(self, req_idx: int, sampling_params: SamplingParams) -> bool:
        family = str((sampling_params.extra_args or {})[REQUEST_KEY]).rpartition(" ")[0]
        self._markers = families()[family].markers
        return super().add_request(req_idx, sampling_params)

    def apply(self, logits: Any, ctx: LogitsContext) -> Any:
        seen["turns"] += len(ctx.idx_mapping_np)
        seen["drafts"] += int((ctx.expanded_local_pos > 0).sum())
        return super().apply(logits, ctx)


def main(how: str, model: str, out: str) -> None:
    restore = BudgetSlots.restore

    def counted(self: BudgetSlots, slot: int, snapshot: Snapshot) -> None:
        seen["restored"] += 1
        restore(self, slot, snapshot)

    BudgetSlots.restore = counted  # type: ignore[method-assign]
    named = cases_of(how)
    markers = named[0][1].family.markers
    settings = {"additional_config": {"thinking": {"start": markers.start, "end": markers.end}}, **WAYS[how]}
    with in_process_engines() as engines:
        engine = engines.start(Path(model), processor=FamiliesProcessor, **settings)
        (processor,) = engine.llm.collective_rpc(_processor)
        parameters = [
            SamplingParams(
                temperature=0, max_tokens=case.limit, detokenize=False, extra_args={**case.fields, REQUEST_KEY: name}
            )
            for name, case in named
        ]
        replies = engine.ids([case.prompt for _, case in named], parameters)
        reports = {name: max(processor.report(name), key=lambda report: len(report.ids))[:2] for name, _ in named}
    Path(out).write_text(json.dumps({"replies": replies, "reports": reports, **seen}))


def _processor(worker: Any) -> ThinkingLogitsProcessor:
    processors = worker.model_runner.sampler.logits_processors
    return next(each for each in processors if isinstance(each, ThinkingLogitsProcessor))


if __name__ == "__main__":
    main(*sys.argv[1:])
