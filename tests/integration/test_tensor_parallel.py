"""Two ranks on two cores: the same tokens as one, and exact budgets."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tenuto_testing.servers import LONG_CONTEXT, MODEL, STOP_SECONDS, RunningServer, serving, wait_until_ended

BUDGETS: list[dict[str, Any]] = [
    {},
    {"max_thinking_tokens": 0},
    {"max_thinking_tokens": 17},
    {"num_waits": 3},
    {"min_thinking_tokens": 70, "max_thinking_tokens": 90},
    {"num_waits": 2, "wait_text": ["Hmm", ""], "landing_tokens": 30, "max_thinking_tokens": 80},
]


def test_two_ranks_write_what_one_writes(
    server: RunningServer, questions: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0|1")
    bodies = [
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": question}],
            "return_token_ids": True,
            "max_tokens": 2000,  # the default cap follows from it, and not from the contexts, which differ
            **budget,
            **draw,
        }
        for budget in BUDGETS
        for question, draw in ((questions[0], {"temperature": 0}), (questions[1], {"temperature": 1, "seed": 7}))
    ]
    alone = [server.chat(**body).json()["choices"][0] for body in bodies]
    with serving(tmp_path / "log", *LONG_CONTEXT, "--tensor-parallel-size", "2") as pair:
        pair.wait_until(pair.ready)
        together = [pair.chat(**body).json()["choices"][0] for body in bodies]
        several = pair.chat(**bodies[6] | {"n": 4, "temperature": 1}).json()["choices"]
        check_the_end_of_a_worker(pair)
    for body, one, two in zip(bodies, alone, together, strict=True):
        assert two["token_ids"] == one["token_ids"], body
        assert two["thinking"] == one["thinking"], body
        cap = body.get("max_thinking_tokens")
        assert cap is None or two["thinking"]["tokens"] <= cap
    assert all(choice["thinking"]["waits"] == 3 for choice in several if choice["thinking"]["ended_by"] == "model")


def check_the_end_of_a_worker(pair: RunningServer) -> None:
    """One rank dies mid-stream: the stream reports an error, and the server ends with all its processes."""
    started = pair.descendants()
    workers = [process for process in started if process.name().startswith("VLLM::Worker")]
    assert len(workers) == 2
    body = {"messages": [{"role": "user", "content": "Add up this bill: soup 9, fish 4"}], "stream": True}
    endless = body | {"min_thinking_tokens": 60_000}
    with httpx.stream("POST", f"{pair.url}/v1/chat/completions", json=endless, timeout=100) as response:
        events = response.iter_lines()
        next(events)
        workers[1].kill()
        assert any(event.startswith('data: {"error"') for event in events)
    assert pair.process.wait(STOP_SECONDS) == 1
    wait_until_ended(started)
