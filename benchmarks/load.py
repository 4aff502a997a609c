"""Load on a server, by the coroutine behind `vllm bench serve`."""

import asyncio
import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from statistics import fmean, median, quantiles
from typing import Any

from vllm.benchmarks.datasets import SampleRequest
from vllm.benchmarks.serve import TaskType, benchmark

from .servers import RunningServer

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Figures:
    """What one run of the load came to: seconds for all of it, rates in 1/s, latencies in milliseconds."""

    seconds: float
    requests_per_second: float
    tokens_per_second: float
    itl_median: float
    itl_mean: float
    itl_p99: float
    ttft_median: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


def put_load(
    server: RunningServer,
    model: str,
    *,
    concurrency: int,
    requests: int,
    tokens: int,
    fields: Sequence[Fields] = ({},),
    seed: int = 0,
) -> Figures:
    """So many streamed chat completions of so many tokens each, `concurrency` of them at a time.

    Args:
        fields: what bodies say beside that; requests take them in turn.
        seed: other prompts for another number, so that no prefix cache knows them.

    Raises:
        RuntimeError: where one of them failed, or gave another number of tokens.
    """
    samples = [_sample(f"{seed} {number}", tokens, fields[number % len(fields)]) for number in range(requests)]
    report = io.StringIO()
    with redirect_stdout(report), redirect_stderr(report):
        found = asyncio.run(
            benchmark(
                task_type=TaskType.GENERATION,
                endpoint_type="openai-chat",
                api_url=f"{server.url}/v1/chat/completions",
                base_url=server.url,
                model_id=model,
                model_name=model,
                tokenizer=None,
                input_requests=samples,
                logprobs=None,
                request_rate=float("inf"),
                burstiness=1.0,
                disable_tqdm=True,
                num_warmups=0,
                profile=False,
                selected_percentile_metrics=[],
                selected_percentiles=[],
                ignore_eos=True,
                goodput_config_dict={},
                max_concurrency=concurrency,
                lora_modules=None,
                extra_headers=None,
                extra_body=None,
                ready_check_timeout_sec=0,
            )
        )
    if found["completed"] != requests or found["total_output_tokens"] != requests * tokens:
        raise RuntimeError(
            f"{found['completed']} of {requests} requests were answered: {[*filter(None, found['errors'])][:1]}"
        )
    gaps = [gap * 1e3 for gaps in found["itls"] for gap in gaps]
    return Figures(
        seconds=found["duration"],
        requests_per_second=found["request_throughput"],
        tokens_per_second=found["output_throughput"],
        itl_median=median(gaps),
        itl_mean=fmean(gaps),
        itl_p99=quantiles(gaps, n=100)[-1],
        ttft_median=median(found["ttfts"]) * 1e3,
    )


def _sample(name: str, tokens: int, fields: Fields) -> SampleRequest:
    question = f"Question {name}: how many ways are there to lay a floor of two by eleven with stones of one by two?"
    return SampleRequest(
        prompt=question,
        prompt_len=0,  # read off the reply's usage
        expected_output_len=tokens,
        request_overrides={"temperature": 0.0, **fields},
    )
