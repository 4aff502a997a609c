"""One model on two "nodes" of this machine, by vLLM's multiprocessing over TCP: the same tokens as on one.

`make test-nodes` runs this; each pair of nodes takes a minute to start.
"""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenuto_evaluation.launch import free_port
from tenuto_testing.servers import (
    LONG_CONTEXT,
    MODEL,
    MODEL_FOLDER,
    STOP_SECONDS,
    RunningServer,
    serving,
    wait_until_ended,
)

#: Two problems that the built-in model was trained for.
QUESTIONS = [json.loads(line)["question"] for line in (MODEL_FOLDER / "problems.jsonl").read_text().splitlines()[:2]]
BUDGETS: list[dict[str, Any]] = [
    {},
    {"max_thinking_tokens": 0},
    {"max_thinking_tokens": 17},
    {"num_waits": 3},
    {"min_thinking_tokens": 70, "max_thinking_tokens": 90},
    {"num_waits": 2, "wait_text": ["Hmm", ""], "landing_tokens": 30, "max_thinking_tokens": 80},
]
DRAWS: list[dict[str, Any]] = [{"temperature": 0}, {"temperature": 1, "seed": 7}]
#: One core for each rank.
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "0|1", "VLLM_HOST_IP": "127.0.0.1"}

#: The ranks of a pair share what a machine for tests has.
LOAD_SECONDS = 600.0

pytestmark = pytest.mark.long


#: Without compiling, a CPU worker lacks what pipeline parallelism needs: docs/deployment.md.
PARALLEL = {
    "tensor": ("--tensor-parallel-size", "2"),
    "pipeline": ("--pipeline-parallel-size", "2", "--no-enforce-eager"),
}


@contextmanager
def two_nodes(folder: Path, parallel: str = "tensor") -> Iterator[tuple[RunningServer, RunningServer]]:
    """Node 0, which has the HTTP server and is ready, and node 1."""
    common = (*LONG_CONTEXT, *PARALLEL[parallel], "--nnodes", "2", "--drain-timeout", "100")
    rendezvous = ("--master-addr", "127.0.0.1", "--master-port", str(free_port()))
    options = [(*common, *rendezvous, "--node-rank", rank) for rank in "01"]
    with (
        serving(folder / "node-1", *options[1], "--headless", environment=ENVIRONMENT) as one,
        serving(folder / "node-0", *options[0], environment=ENVIRONMENT) as zero,
    ):
        zero.wait_until(zero.ready, LOAD_SECONDS)
        yield zero, one


def body_of(question: str, **more: Any) -> dict[str, Any]:
    # The default cap follows from max_tokens here, and not from the contexts, which differ.
    messages = [{"role": "user", "content": question}]
    return {"model": MODEL, "messages": messages, "return_token_ids": True, "max_tokens": 1000, **more}


BODIES = [body_of(QUESTIONS[place % 2], **budget, **draw) for budget in BUDGETS for place, draw in enumerate(DRAWS)]


def choice_of(server: RunningServer, body: dict[str, Any]) -> dict[str, Any]:
    response = server.chat(**body)
    assert response.status_code == 200, response.text
    choice: dict[str, Any] = response.json()["choices"][0]
    return choice


def answered_now(server: RunningServer) -> dict[str, Any]:
    """The ids and the report of a reply that would think for long, told to answer after 20 tokens or more."""
    body = body_of(QUESTIONS[0], temperature=0, min_thinking_tokens=900, stream=True)
    ids: list[int] = []
    steering, report = None, None
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=STOP_SECONDS) as response:
        for line in response.iter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            choice = event["choices"][0]
            ids += choice.get("token_ids") or []
            report = choice.get("thinking") or report
            if len(ids) >= 20 and steering is None:
                steering = server.post(f"/v1/requests/{event['id']}/thinking", action="answer_now").json()
    assert steering is not None
    assert report is not None
    return {"ids": ids, "thinking": report, "steering": steering["choices"][0]}


@pytest.mark.parametrize("parallel", PARALLEL)
def test_two_nodes_write_what_one_writes(tmp_path: Path, parallel: str) -> None:
    with serving(tmp_path / "alone") as alone:
        alone.wait_until(alone.ready, LOAD_SECONDS)
        expected = [choice_of(alone, body) for body in BODIES]
        with two_nodes(tmp_path, parallel) as (pair, other):
            check_replies(pair, expected)
            check_steering(pair, alone)
            check_drain(pair, other)


def check_replies(pair: RunningServer, expected: list[dict[str, Any]]) -> None:
    for body, choice in zip(BODIES, expected, strict=True):
        found = choice_of(pair, body)
        assert found["token_ids"] == choice["token_ids"], body
        assert found["thinking"] == choice["thinking"], body


def check_steering(pair: RunningServer, alone: RunningServer) -> None:
    """A reply that is told to answer has the tokens of one whose cap is where it was told, on one node."""
    steered = answered_now(pair)
    tokens = steered["thinking"]["tokens"]
    assert steered["steering"] == {"index": 0, "applied": True, "phase": "thinking", "tokens": tokens}
    assert (steered["thinking"]["ended_by"], steered["thinking"]["steered"]) == ("cap", 1)
    capped = body_of(QUESTIONS[0], temperature=0, min_thinking_tokens=tokens, max_thinking_tokens=tokens)
    assert steered["ids"] == choice_of(alone, capped)["token_ids"]


def check_drain(pair: RunningServer, other: RunningServer) -> None:
    """SIGTERM to both nodes, as an orchestrator sends it: the running reply ends whole, and then both nodes end."""
    body = body_of(QUESTIONS[0], temperature=0, min_thinking_tokens=300, stream=True)
    started = pair.descendants() + other.descendants()
    with httpx.stream("POST", f"{pair.url}/v1/chat/completions", json=body, timeout=STOP_SECONDS) as response:
        events = response.iter_lines()
        next(events)
        for server in (other, pair):
            server.process.send_signal(signal.SIGTERM)
        lines = [line for line in events if line]
    assert lines[-1] == "data: [DONE]"
    assert '"finish_reason":"stop"' in lines[-2]
    assert json.loads(lines[-2].removeprefix("data: "))["choices"][0]["thinking"]["tokens"] >= 300
    assert pair.process.wait(STOP_SECONDS) == 0
    assert other.process.wait(STOP_SECONDS) == 0
    wait_until_ended(started)


def test_the_nodes_end_together(tmp_path: Path) -> None:
    """The workers of node 1 are killed while a reply runs: it ends with an error, and both nodes exit."""
    with two_nodes(tmp_path) as (pair, other):
        started = pair.descendants() + other.descendants()
        (worker,) = (process for process in other.descendants() if process.name().startswith("VLLM::Worker"))
        body = body_of(QUESTIONS[0], min_thinking_tokens=60_000, max_tokens=65_000, stream=True)
        with httpx.stream("POST", f"{pair.url}/v1/chat/completions", json=body, timeout=STOP_SECONDS) as response:
            events = response.iter_lines()
            next(events)
            worker.kill()
            assert any(event.startswith('data: {"error"') for event in events)
        assert other.process.wait(STOP_SECONDS) == 1
        assert pair.process.wait(STOP_SECONDS) == 1
        wait_until_ended(started)
