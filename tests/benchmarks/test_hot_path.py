"""Stacks as py-spy writes them come to shares of functions, each sample with the one whose work it is."""

import json
from typing import Any

from benchmarks.hot_path import API, OURS, PLAIN, SAMPLES_PER_SECOND, section
from benchmarks.samples import NOBODY, Frame, read_stacks, summarize

LOOP = "<module> (tenuto_server/process.py:1);serve (tenuto_server/lifecycle.py:45);run (uvloop/__init__.py:38)"
STREAM = "RequestResponseCycle.run (uvicorn/http.py:4);Journal.__call__ (tenuto_server/journal.py:9)"
RAW = f"""\
{LOOP};{STREAM};tell (tenuto_server/replies.py:7);dumps (json/__init__.py:183) 30
{LOOP};{STREAM};tell (tenuto_server/replies.py:7) 10
{LOOP};{STREAM};tell (tenuto_server/replies.py:7);generate (vllm/serving.py:5);validate (pydantic/main.py:1) 40
{LOOP};call_soon (anyio/loop.py:2) 20
_bootstrap (threading.py:988);wait (threading.py:295) 1000
<module> (<string>:1);step (vllm/core.py:9);MessageQueue.acquire_read (vllm/shm.py:8);sched_yield (vllm/utils.py:4) 1000
"""


def found() -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(json.dumps(summarize(read_stacks(RAW))))
    return summary


def test_a_sample_is_the_work_of_the_innermost_that_has_an_owner() -> None:
    """What it calls elsewhere is its work, who started the event loop has none of it, and waiting is no work."""
    assert found()["samples"] == 100
    assert found()["owners"] == {"Tenuto": 40, "vLLM": 40, NOBODY: 20}


def test_functions_have_their_own_samples_those_of_their_work_and_all() -> None:
    replies, journal = "tell (tenuto_server/replies.py)", "Journal.__call__ (tenuto_server/journal.py)"
    assert found()["ours"] == [
        {"function": replies, "own": 10, "work": 40, "total": 80},
        {"function": journal, "own": 0, "work": 0, "total": 80},
    ]
    heaviest = [(each["function"], each["own"]) for each in found()["all"]]
    assert heaviest[:3] == [("validate (pydantic/main.py)", 40), ("dumps (json/__init__.py)", 30), (LAST, 20)]


LAST = "call_soon (anyio/loop.py)"


def test_frames_of_any_shape_are_read() -> None:
    assert Frame.read("<module> (<string>:1)") == Frame("<module>", "<string>")
    assert Frame.read("f.<locals>.<lambda> (a b/c.py:12)") == Frame("f.<locals>.<lambda>", "a b/c.py")
    assert Frame.read("read (libc.so)") == Frame("read", "libc.so")


def test_the_section_compares_the_work_for_a_token() -> None:
    plain = {"samples": 50, "owners": {"vLLM": 50}, "ours": [], "all": []}
    servers = {
        PLAIN: {"tokens_per_second": 1000.0, "processes": {API: plain}},
        OURS: {"tokens_per_second": 800.0, "processes": {API: found()}},
    }
    made = section({"seconds": 10, "tokens": 96, "servers": servers})
    per_token, ours, every = made.tables
    assert SAMPLES_PER_SECOND == 100
    assert list(per_token.rows) == [
        (API, "Tenuto", "0.0", "50.0"),
        (API, "vLLM", "50.0", "50.0"),
        (API, "web framework", "0.0", "0.0"),
        (API, NOBODY, "0.0", "25.0"),
        ("tokens/s", "", "1000", "800"),
    ]
    assert ours.rows[0] == ("`tell (tenuto_server/replies.py)`", "10.0", "40.0", "80.0")
    assert ours.caption.startswith("In our API server 40.0 % of 100 samples are Tenuto's work.")
    assert len(every.rows) == 4
    assert made.targets == []
