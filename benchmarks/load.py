"""Load on a server, from the coroutine that `vllm bench serve` runs."""

import asyncio
import io
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from statistics import fmean, quantiles
from typing import Any

from vllm.benchmarks.datasets import SampleRequest
from vllm.benchmarks.serve import TaskType, benchmark

Fields = Mapping[str, Any]


def put_load(
    url: str, model: str, *, concurrency: int, requests: int, tokens: int, fields: Fields | None = None, seed: int = 0
) -> dict[str, float]:
    """Send `requests` streamed chat completions of `tokens` tokens each, `concurrency` of them at a time.

    Args:
        fields: further fields of the bodies.
        seed: varies the prompts so that no prefix cache hits.

    Returns:
        Tokens per second, and the mean and the 99th percentile of the gaps between chunks in milliseconds.

    Raises:
        RuntimeError: if a request failed or has another number of tokens.
    """
    samples = [_sample(f"{seed} {number}", tokens, fields or {}) for number in range(requests)]
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        found = asyncio.run(
            benchmark(
                task_type=TaskType.GENERATION,
                endpoint_type="openai-chat",
                api_url=f"{url}/v1/chat/completions",
                base_url=url,
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
        errors = [*filter(None, found["errors"])][:1]
        raise RuntimeError(f"{found['completed']} of {requests} requests were answered in full: {errors}")
    gaps = [gap * 1e3 for gaps in found["itls"] for gap in gaps]
    return {
        "tokens_per_second": found["output_throughput"],
        "gap_ms": fmean(gaps),
        "gap_p99_ms": quantiles(gaps, n=100)[-1],
    }


def _sample(name: str, tokens: int, fields: Fields) -> SampleRequest:
    question = f"Question {name}: how many ways are there to lay a floor of two by eleven with stones of one by two?"
    return SampleRequest(
        prompt=question,
        prompt_len=0,  # the reply's usage has it
        expected_output_len=tokens,
        request_overrides={"temperature": 0.0, **fields},
    )
