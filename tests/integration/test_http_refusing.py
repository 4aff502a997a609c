"""Refusing a large wrong body costs the server little: other requests do not wait, and no memory stays."""

import threading
import time
from typing import Any

import httpx
import psutil
import pytest

from tenuto_testing.servers import RunningServer

#: 800 KB and more each: pydantic took 2 ms and 1 MiB for each of these items.
HUGE: list[tuple[str, dict[str, Any]]] = [
    ("/v1/responses", {"input": [{}] * 200_000}),
    ("/v1/responses", {"input": [{"role": "assistant", "content": [{"type": "output_text"}]}] * 15_000}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}] * 20_000 + [{}]}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{}] * 200_000}]}),
    ("/v1/messages", {"max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "x"}] * 60_000}]}),
    ("/v1/completions", {"prompt": "x", "logit_bias": {str(number): {} for number in range(60_000)}}),
    ("/tokenize", {"messages": [{}] * 200_000}),
]
#: Of a core, for one body: parsing and checking it takes some 0.4 s, pydantic took minutes.
MOST_CPU_SECONDS = 1.5
#: Other tests may be using the cores.
MOST_SECONDS = 5.0
GROWTH_BYTES = 64 << 20
TIMES = 5


def slowest_probe(server: RunningServer, until: threading.Event) -> float:
    """The longest that `/livez` took before the event."""
    slowest = 0.0
    with httpx.Client(base_url=server.url, timeout=60) as client:
        while not until.is_set():
            begun = time.monotonic()
            assert client.get("/livez").status_code == 200
            slowest = max(slowest, time.monotonic() - begun)
            time.sleep(0.01)
    return slowest


@pytest.mark.parametrize(("path", "body"), HUGE, ids=[f"{path} {str(body)[:40]}" for path, body in HUGE])
def test_a_large_wrong_body_does_not_delay_others(server: RunningServer, path: str, body: dict[str, Any]) -> None:
    api = psutil.Process(server.process.pid)
    with httpx.Client(base_url=server.url, timeout=60) as client:
        wrong = {"model": "s1-tiny", **body}
        assert client.post(path, json=wrong).status_code == 400
        before, used = api.memory_info().rss, sum(api.cpu_times()[:2])
        done, slowest = threading.Event(), [0.0]
        probing = threading.Thread(target=lambda: slowest.append(slowest_probe(server, done)))
        probing.start()
        for _ in range(TIMES):
            response = client.post(path, json=wrong)
            assert response.status_code == 400
            error = response.json()["error"]
            assert error["param"]
            assert len(error["message"]) < 1000
        done.set()
        probing.join()
    assert (sum(api.cpu_times()[:2]) - used) / TIMES < MOST_CPU_SECONDS
    assert max(slowest) < MOST_SECONDS
    assert api.memory_info().rss - before < GROWTH_BYTES
