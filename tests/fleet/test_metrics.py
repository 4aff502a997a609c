"""Every series of the server's own is exactly what its clients have counted, after a load of all kinds.

One server of its own, whose engine is killed at the end.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tenuto_server.metrics.definitions import BY_NAME, SERIES, STAGES, Series
from tenuto_testing.counting_client import (
    BATCH,
    CHAT,
    COMPLETIONS,
    MESSAGES,
    RESPONSES,
    CountingClient,
    choices_of_stream,
    partial_post,
)
from tenuto_testing.expected_metrics import TOKENS, ExpectedMetrics, Key, key, samples
from tenuto_testing.reply_counter import ReplyCounter
from tenuto_testing.servers import MODEL, STOP_SECONDS, RunningServer, serving
from tenuto_testing.tiny_adapter import save_adapter

KEY, NAME, ADAPTER = "key-of-the-test", "measured", "tuned"
RUNNING, CAPACITY = 6, 40
QUESTION = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"
ASKED: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
PROMPT = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
CLOSED = f"{PROMPT}<|im_start|>think\n9\n<|im_start|>answer\n"
#: Long enough to be steered, left or killed while it runs.
LONG = {"min_thinking_tokens": 3000, "max_thinking_tokens": 3100, "temperature": 1}
OPTIONS = (
    *("--served-model-name", NAME, MODEL, "--api-key", KEY, "--public-metrics", "--log-format", "json"),
    *("--max-num-seqs", str(RUNNING), "--max-queued-requests", str(CAPACITY - RUNNING)),
    *("--max-body-bytes", "20000", "--body-timeout", "1.5", "--drain-timeout", "500"),
    *("--enable-lora", "--max-lora-rank", "8"),
)
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}


@dataclass
class Measured:
    """What was counted, and what the server exported.

    Attributes:
        last: the samples after everything.
        at: samples at other moments, by name.
    """

    expected: ExpectedMetrics
    last: dict[Key, float] = field(default_factory=dict)
    at: dict[str, dict[Key, float]] = field(default_factory=dict)


class Load:
    """The load on one server, kind by kind."""

    def __init__(self, server: RunningServer, client: CountingClient, measured: Measured) -> None:
        self.server, self.client, self.expected, self.measured = server, client, client.expected, measured
        self._counter = ReplyCounter()

    def scrape(self) -> dict[Key, float]:
        return samples(self.server.get("/metrics").text)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.05)

    def sum(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels, now."""
        return sum(value for (other, has), value in self.scrape().items() if other == name and labels.items() <= has)

    async def answered(self) -> None:
        """Replies of all endpoints, whole and streamed, with all kinds of budgets."""
        (eos,) = self._counter.encode("<|im_end|>")
        chat = {"messages": ASKED, "return_token_ids": True, "temperature": 0}
        text = {"prompt": PROMPT, "return_token_ids": True, "temperature": 0, "max_tokens": 120}
        loops = {"num_waits": 30, "loop_tokens": 30, "wait_text": " ".join(["Wait"] * 16), "max_tokens": 900}
        answered = self.client.answered
        await asyncio.gather(
            answered(CHAT, chat),
            answered(CHAT, chat | {"stream": True, "max_thinking_tokens": 12, "model": MODEL}),
            answered(CHAT, chat | {"n": 3, "temperature": 1, "min_thinking_tokens": 30, "max_thinking_tokens": 60}),
            answered(CHAT, chat | {"n": 2, "temperature": 1, "stream": True, "num_waits": 2, "max_tokens": 200}),
            answered(CHAT, chat | {"max_thinking_tokens": 20, "landing_tokens": 15}, forced_by="landing"),
            answered(CHAT, chat | {"reasoning_effort": "none"}, effort="none"),
            answered(CHAT, chat | {"reasoning_effort": "low", "stream": True}, effort="low"),
            answered(CHAT, chat | {"max_thinking_tokens": 0}),
            answered(CHAT, chat | {"max_thinking_tokens": "unlimited", "num_waits": 50, "max_tokens": 40}),
            answered(CHAT, chat | {"max_thinking_tokens": 50, "logit_bias": {str(eos): 100}}),
            answered(CHAT, chat | loops),
            answered(CHAT, chat | {"max_tokens": 300, "num_waits": 1, "stop": ["Answer"]}),
            answered(BATCH, chat | {"messages": [ASKED, ASKED], "max_thinking_tokens": 7}),
            answered(COMPLETIONS, text | {"prompt": [PROMPT, CLOSED], "n": 2, "temperature": 1}),
            answered(COMPLETIONS, text | {"stream": True, "max_thinking_tokens": 9}),
            answered(COMPLETIONS, text | {"prompt": f"{CLOSED}Answer: 30"}),
            answered(RESPONSES, {"input": QUESTION, "max_output_tokens": 200, "min_thinking_tokens": 20}),
            answered(RESPONSES, {"input": QUESTION, "stream": True, "max_thinking_tokens": 5}),
            answered(MESSAGES, {"messages": ASKED, "max_tokens": 300, "model": NAME}),
            answered(MESSAGES, {"messages": ASKED, "max_tokens": 90, "model": NAME, "stream": True, "num_waits": 1}),
            answered(CHAT, chat | {"model": ADAPTER, "max_thinking_tokens": 15}, model=ADAPTER),
        )

    async def refused(self) -> None:
        """Refusals of every kind but those for which the server has to be loading, full or ending."""
        refused, good = self.client.refused, {"messages": ASKED}
        await asyncio.gather(
            refused(401, "unauthorized", good, headers={"X-Api-Key": "wrong"}),
            refused(404, "unknown_model", good | {"model": 'nowhere"}\n'}),
            refused(404, "unknown_model", {"messages": ASKED, "max_tokens": 9, "model": "n" * 999}, path=MESSAGES),
            refused(400, "budget", good | {"max_thinking_tokens": -1}, model=NAME),
            refused(400, "budget", {"input": "x", "max_thinking_token": 5}, path=RESPONSES, model=NAME),
            refused(400, "invalid", good | {"n": 99, "model": MODEL}, model=NAME),
            refused(400, "invalid", {"prompt": 7}, path=COMPLETIONS, model=NAME),
            refused(404, "invalid", {}, path="/v1/nowhere"),
            refused(413, "too_large", {"messages": "x" * 30_000}),
            refused(415, "unsupported_encoding", content=b"x", headers={"Content-Encoding": "br"}),
            self._too_slow(),
            self._count_tokens(),
        )

    async def _too_slow(self) -> None:
        reader, writer = await partial_post(self.server.url, KEY, {"messages": ASKED})
        assert b" 408 " in await reader.readline()
        writer.close()
        self.expected.request(CHAT, "invalid", model="", reason="too_slow")

    async def _count_tokens(self) -> None:
        response = await self.client.http.post("/tokenize", json={"prompt": "a", "model": ADAPTER})
        assert response.status_code == 200
        self.expected.request("other", "ok", model=ADAPTER)

    async def steered(self) -> None:
        """Replies that are made to answer, to think on, and replies that cannot be steered in that way."""
        body = {"messages": ASKED, "return_token_ids": True, "temperature": 1}
        begin = asyncio.get_running_loop().time()
        actions = (
            ("now", body | LONG, {"action": "answer_now"}),
            (
                "on",
                body | {"min_thinking_tokens": 300, "max_thinking_tokens": 320},
                {"action": "think_until", "min_thinking_tokens": 340},
            ),
        )
        for name, asked, action in actions:
            async with self.client.streaming(CHAT, asked, name) as stream:
                received = [await anext(stream) for _ in range(4)]
                if name == "now":
                    await self.client.steer(name, action="think_until", min_thinking_tokens=9000)
                assert (await self.client.steer(name, **action))["applied"]
                received += [event async for event in stream]
            pieces = [choice for event in received for choice in event["choices"]]
            self._finished(pieces, asked, asyncio.get_running_loop().time() - begin, is_now=name == "now")

    def _finished(self, pieces: list[Any], asked: dict[str, Any], seconds: float, *, is_now: bool) -> None:
        bounds = {name: asked[name] for name in ("max_thinking_tokens", "min_thinking_tokens")}
        choices = choices_of_stream(CHAT, [{"choices": pieces}])
        self.expected.request(CHAT, "ok")
        self.expected.finished(choices, seconds, forced_by="answer_now" if is_now else None, requested=bounds)

    async def left(self) -> None:
        """Clients that disconnect, in each phase, with others in the meantime that find the server full."""
        await self._left_sending()
        begun = {"max_thinking_tokens": 3, "ignore_eos": True, "max_tokens": 3500}
        async with self.client.streaming(CHAT, {"messages": ASKED, **begun}, "answer") as stream:
            async for event in stream:
                if event["choices"] and event["choices"][0]["delta"].get("content"):
                    break
            self.measured.at["answering"] = self.scrape()
            assert (await self.client.steer("answer", action="answer_now"))["applied"] is False
        self.expected.cancelled(CHAT, "answer")
        await self._idle()
        before = self.scrape()
        many = {"messages": ASKED, "n": RUNNING, **LONG}
        async with self.client.streaming(CHAT, many, "thinking") as stream:
            await anext(stream)
            await self.until(lambda: self.sum("tenuto_running_choices", phase="thinking") == RUNNING)
            waiting = asyncio.create_task(self._wait_in(RESPONSES, {"input": QUESTION, **LONG}, "waiting"))
            await self.until(lambda: self.sum("tenuto_running_choices") == RUNNING + 1)
            self.measured.at["busy"] = self.scrape()
            full = {"prompt": [PROMPT] * 6, "n": RUNNING}
            await self.client.refused(503, "full", full, path=COMPLETIONS, model=NAME)
            waiting.cancel()
            await asyncio.wait([waiting])
        self.measured.at["before busy"] = before
        self.expected.cancelled(RESPONSES, "waiting")
        self.expected.cancelled(CHAT, "thinking")
        await self._idle()
        whole = asyncio.create_task(
            self.client.http.post(CHAT, json={"messages": ASKED, **LONG, "n": 2}, headers={"X-Request-Id": "whole"})
        )
        await self.until(lambda: self.sum("tenuto_running_choices", phase="thinking") == 2)
        tokens = self.sum("tenuto_thinking_tokens_total")
        await self.until(lambda: self.sum("tenuto_thinking_tokens_total") > tokens + 20)
        whole.cancel()
        await asyncio.wait([whole])
        self.expected.cancelled(CHAT, "whole")
        await self._idle()

    async def _left_sending(self) -> None:
        _, writer = await partial_post(self.server.url, KEY, {"messages": ASKED})
        await asyncio.sleep(0.2)
        writer.close()
        self.expected.cancelled(CHAT, "body", model="")

    async def _wait_in(self, path: str, body: dict[str, Any], name: str) -> None:
        async with self.client.streaming(path, body, name) as stream:
            async for _ in stream:
                pass

    async def _idle(self) -> None:
        await self.until(lambda: not self.sum("tenuto_running_choices") and not self.sum("tenuto_sequences"))

    async def killed(self) -> None:
        """A server that drains, and whose engine dies under running replies."""
        streams = [
            asyncio.create_task(self._broken(CHAT, {"messages": ASKED, **LONG, "n": 2}, "dies-chat")),
            asyncio.create_task(
                self._broken(MESSAGES, {"messages": ASKED, **LONG, "model": NAME, "max_tokens": 3900}, "dies-messages")
            ),
        ]
        headers = {"X-Request-Id": "dies-whole"}
        whole = asyncio.create_task(self.client.http.post(CHAT, json={"messages": ASKED, **LONG}, headers=headers))
        await self.until(lambda: self.sum("tenuto_running_choices", phase="thinking") == 4)
        [core] = [process for process in self.server.descendants() if process.name() == "VLLM::EngineCore"]
        self.measured.at["ready"] = self.scrape()
        self.server.process.send_signal(signal.SIGTERM)
        await self.until(lambda: self.server.get("/readyz").json() == {"status": "draining"})
        self.measured.at["draining"] = self.scrape()
        await self.client.refused(503, "draining", {"messages": ASKED})
        core.kill()
        await asyncio.gather(*streams)
        assert (await whole).status_code == 500
        self.expected.request(CHAT, "error")
        await self.client.refused(503, "engine_dead", {"messages": ASKED})
        self.measured.last = self.scrape()
        assert self.server.process.wait(STOP_SECONDS) == 1

    async def _broken(self, path: str, body: dict[str, Any], name: str) -> None:
        """A stream that ends with an error event."""
        async with self.client.streaming(path, body, name) as stream:
            received = [event async for event in stream]
        assert "error" in received[-1]
        self.expected.request(path, "error")
        self.expected.add("tenuto_stream_errors_total", model_name=NAME, endpoint=path)

    def logged(self) -> None:
        """Count the choices of requests that have ended before them, which only the log has."""
        lines = [json.loads(line) for line in self.server.log.read_text().splitlines() if line.startswith("{")]
        ended = {line["request_id"]: line for line in lines if line.get("outcome") in ("cancelled", "error")}
        named = {"answer", "thinking", "waiting", "whole", "dies-chat", "dies-messages", "dies-whole"}
        assert named <= ended.keys()
        for name in named:
            line = ended[name]
            self.expected.unfinished(line["thinking"], line["output_tokens"], line["outcome"])


@pytest.fixture(scope="module")
async def measured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Measured]:
    folder = tmp_path_factory.mktemp("measured")
    adapter = ("--lora-modules", f"{ADAPTER}={save_adapter(folder / 'adapter')}")
    with serving(folder / "log", *OPTIONS, *adapter, environment=ENVIRONMENT) as server:
        result = Measured(ExpectedMetrics(NAME))
        client = CountingClient(server.url, KEY, result.expected)
        load = Load(server, client, result)
        server.wait_until(server.listening)
        await client.refused(503, "loading", {"messages": ASKED})
        result.at["loading"] = load.scrape()
        server.wait_until(server.ready)
        await asyncio.gather(load.answered(), load.refused())
        await load.steered()
        await load.left()
        await load.killed()
        load.logged()
        yield result
        await client.http.aclose()


def counted(series: Series, expected: ExpectedMetrics) -> Iterator[tuple[Key, float]]:
    """The samples of a counter or histogram that the client expects, except sums of times."""
    if series.kind == "counter":
        yield from ((name, value) for name, value in expected.counts.items() if name[0] == series.name)
        return
    for (name, labels), values in expected.observed.items():
        if name == series.name:
            yield (f"{name}_count", labels), len(values)
            if series.unit == "seconds":
                continue
            yield (f"{name}_sum", labels), sum(values)
            if series.buckets == "request_tokens":
                for bound in TOKENS:
                    below = sum(value <= bound for value in values)
                    yield (f"{name}_bucket", labels | {("le", str(float(bound)))}), below


@pytest.mark.parametrize("series", [series for series in SERIES if series.kind != "gauge"], ids=lambda s: s.name)
def test_each_series_is_what_the_client_has_counted(measured: Measured, series: Series) -> None:
    expected = dict(counted(series, measured.expected))
    assert any(expected.values()), "the load has none of it"
    assert {name: measured.last.get(name, 0.0) for name in expected} == pytest.approx(expected)
    suffixes = ("",) if series.kind == "counter" else ("_count", "_sum")
    others = {
        name: value
        for name, value in measured.last.items()
        if name[0] in [series.name + suffix for suffix in suffixes] and name not in expected and value
    }
    if series.unit == "seconds":
        others = {name: value for name, value in others.items() if not name[0].endswith("_sum")}
    assert others == {}, "what the client knows nothing of"


@pytest.mark.parametrize("series", [series for series in SERIES if series.unit == "seconds"], ids=lambda s: s.name)
def test_times_are_within_those_of_the_requests(measured: Measured, series: Series) -> None:
    for name in [name for name in measured.expected.seconds if name[0] == series.name]:
        assert 0 < measured.last[f"{series.name}_sum", name[1]] < measured.expected.seconds[name]


@pytest.mark.parametrize("series", [series for series in SERIES if series.values], ids=lambda s: s.name)
def test_every_value_of_a_label_was_met(measured: Measured, series: Series) -> None:
    """Except what has tests of its own: other efforts, replies that are cut, and steps that do not come."""
    untested = {"outcome": {"cut", "pending"}, "effort": {"minimal", "medium", "high", "xhigh", "max"}}
    moments = [measured.last, *measured.at.values()]
    names = (series.name, f"{series.name}_count")
    for label, values in series.values.items():
        met = {
            dict(labels)[label]
            for moment in moments
            for (name, labels), value in moment.items()
            if name in names and value
        }
        assert met == values.keys() - untested.get(label, set()), label


def test_names_and_labels_are_those_of_the_table(measured: Measured) -> None:
    exported: dict[str, set[str]] = {}
    for name, labels in measured.last:
        if name.startswith("tenuto_"):
            base = name if name in BY_NAME else name.rpartition("_")[0]
            exported.setdefault(base, set()).update(label for label, _ in labels if label != "le")
    assert exported == {series.name: set(series.labels) for series in SERIES}


def test_the_stage_is_that_of_the_server_from_start_to_end(measured: Measured) -> None:
    moments = {**measured.at, "failed": measured.last}
    for stage in STAGES:
        for other in STAGES:
            assert moments[stage][key("tenuto_server_stage", stage=other)] == (stage == other)


def test_running_choices_and_slots_are_those_that_the_clients_hold(measured: Measured) -> None:
    busy = measured.at["busy"]
    phases = {
        phase: busy[key("tenuto_running_choices", model_name=NAME, phase=phase)] for phase in ("before", "answer")
    }
    assert phases == {"before": 1, "answer": 0}
    assert busy[key("tenuto_running_choices", model_name=NAME, phase="thinking")] == RUNNING
    assert busy[key("tenuto_sequences")] == RUNNING + 1
    for moment in (busy, measured.last):
        assert moment[key("tenuto_sequences_capacity")] == CAPACITY
    assert measured.last[key("tenuto_sequences")] == 0
    for phase in BY_NAME["tenuto_running_choices"].values["phase"]:
        assert measured.last[key("tenuto_running_choices", model_name=NAME, phase=phase)] == 0


def test_the_remaining_thinking_is_what_the_caps_leave(measured: Measured) -> None:
    busy, before = measured.at["busy"], measured.at["before busy"]
    thought = key("tenuto_thinking_tokens_total", model_name=NAME)
    caps = (RUNNING + 1) * LONG["max_thinking_tokens"]
    assert busy[thought] - before[thought] > 0
    remaining = key("tenuto_remaining_thinking_tokens", model_name=NAME)
    assert busy[remaining] == caps - (busy[thought] - before[thought])
    assert before[remaining] == measured.last[remaining] == 0


def test_counters_never_decrease(measured: Measured) -> None:
    moments = [measured.at[name] for name in ("loading", "before busy", "busy", "ready", "draining")]
    for earlier, later in zip(moments, [*moments[1:], measured.last], strict=True):
        for name, value in earlier.items():
            if name[0].startswith("tenuto_") and name[0].endswith(("_total", "_count", "_bucket")):
                assert later[name] >= value, name
