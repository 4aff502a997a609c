"""Half an hour of random requests: are all counts exact, does every request end once, does memory stay constant?"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import linear_regression
from typing import Any

import httpx

from tenuto_testing.random_requests import RandomRequests, outcomes
from tenuto_testing.reply_counter import ReplyCounter

from .benchmark import Plot, Report, Results, Run, Table, Target, Verdict, at_most
from .estimates import Estimate
from .load import put_load
from .processes import ENGINE, private_memory
from .servers import RunningServer, plain_vllm, serving, tenuto
from .stop_append_resume import MODEL, NAME

#: Periods of load, and how long each is.
PERIODS, PERIOD_SECONDS = 30, 60.0
CHECKED_PERIODS, CHECKED_SECONDS = 4, 1.5
#: Between two of them: vLLM's processes notice after an idle second that nothing comes.
REST_SECONDS = 2.5
#: Shorter runs say nothing about growth: at first, caches fill.
FEWEST_SECONDS = 600.0
CONCURRENCY = 48
#: The longest that a request may take, and that the server may take to become idle.
REQUEST_SECONDS, IDLE_SECONDS = 120.0, 30.0
#: Less than it takes to keep only the id of each request: 81 bytes for the string, 100 to find it again.
BYTES_PER_REQUEST = 150.0
SHOWN = 5

#: Requests one after the other, and the tokens of each, that keep the engine busy without an idle second.
BUSY, CHECKED_BUSY = (64, 250), (2, 16)

#: Otherwise oneDNN keeps a kernel for each shape that a batch had, up to 1,024: growth that is not the server's.
ENVIRONMENT = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1"}
FLAGS = ("--served-model-name", NAME, "--dtype", "float32", "--enforce-eager")
GAUGES = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "tenuto_sequences")


def measure(run: Run) -> Results:
    """Put the load on a server of its own; without `run.check`, compare the growth per step with plain vLLM's."""
    periods, seconds = (CHECKED_PERIODS, CHECKED_SECONDS) if run.check else (PERIODS, PERIOD_SECONDS)
    questions = [json.loads(line)["question"] for line in (MODEL / "problems.jsonl").read_text().splitlines()]
    with serving({"Tenuto": tenuto(MODEL, *FLAGS)}, run.work, ENVIRONMENT) as servers:
        server = servers["Tenuto"]
        busy = {"Tenuto": _growth_while_busy(server, run)}  # first: memory that a load has freed would hide it
        run.say(f"{periods} times {seconds:.0f} s of random requests, {CONCURRENCY} at a time")
        soak = Soak(server, RandomRequests(server.url, questions, ReplyCounter()), run)
        asyncio.run(soak.repeat(periods, seconds))
        results = {"seconds": periods * seconds, **soak.results()}
    if not run.check:
        with serving({"plain vLLM": plain_vllm(MODEL, *FLAGS)}, run.work, ENVIRONMENT) as servers:
            busy["plain vLLM"] = _growth_while_busy(servers["plain vLLM"], run)
    return {**results, "busy": busy}


def _growth_while_busy(server: RunningServer, run: Run) -> dict[str, float]:
    """Bytes that the engine core keeps for each step while it has no idle second, and the number of steps."""

    def look() -> tuple[float, float]:
        return private_memory(server)[ENGINE], server.metrics()["vllm:iteration_tokens_total_count"]

    requests, tokens = CHECKED_BUSY if run.check else BUSY
    put_load(server.url, NAME, concurrency=1, requests=max(1, requests // 8), tokens=tokens)
    before, first = look()
    put_load(server.url, NAME, concurrency=1, requests=requests, tokens=tokens, seed=1)
    after, last = look()
    run.say(f"{last - first:.0f} steps without a rest")
    return {"steps": last - first, "bytes": (after - before) / (last - first)}


class Soak:
    """Periods of random requests; after each, the server's memory is measured."""

    def __init__(self, server: RunningServer, requests: RandomRequests, run: Run) -> None:
        self._server, self._requests, self._run = server, requests, run
        self._earlier = self._outcomes()
        self._samples: list[dict[str, Any]] = []
        self._wrong: list[str] = []
        self._left: Counter[str] = Counter()
        self._number = 0

    async def repeat(self, periods: int, seconds: float) -> None:
        """Send requests for `seconds`, wait for those that are running, and measure; `periods` times."""
        for period in range(1, periods + 1):
            until = time.monotonic() + seconds
            await asyncio.gather(*(self._send(until) for _ in range(CONCURRENCY)))
            self._left |= Counter(_when_idle(self._server))
            await asyncio.sleep(REST_SECONDS)
            self._sample(period * seconds)

    async def _send(self, until: float) -> None:
        """Requests one after the other."""
        while time.monotonic() < until:
            self._number += 1
            number = self._number
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    await self._requests.one(number)
            except (AssertionError, LookupError, ValueError, OSError) as error:
                self._wrong.append(f"request {number}: {error!r}"[:2000])
                if len(self._wrong) <= SHOWN:
                    self._run.say(self._wrong[-1])
                if (status := self._server.process.poll()) is not None:
                    raise RuntimeError(f"the server ended with {status}") from error

    def _sample(self, seconds: float) -> None:
        used = private_memory(self._server)
        self._samples.append({"seconds": seconds, "requests": self._number, "bytes": used})
        total = sum(used.values()) / 2**20
        self._run.say(f"{self._number} requests after {seconds:.0f} s, {total:.1f} MiB")

    def _outcomes(self) -> Counter[str]:
        return outcomes(httpx.get(f"{self._server.url}/metrics", timeout=30).text)

    def results(self) -> dict[str, Any]:
        requests = self._requests
        return {
            "requests": self._number,
            "endings": dict(requests.endings),
            "unseen": requests.unseen,
            "steering": dict(requests.steering),
            "choices": requests.choices,
            "tokens": requests.tokens,
            "outcomes": dict(self._outcomes() - self._earlier),
            "wrong": {"number": len(self._wrong), "first": self._wrong[:SHOWN]},
            "left": dict(self._left),
            "samples": self._samples,
        }


def _when_idle(server: RunningServer) -> dict[str, Any]:
    """Gauges of what is running or held; waits a while until there is nothing."""
    deadline = time.monotonic() + IDLE_SECONDS
    while True:
        metrics = server.metrics()
        left = {name: metrics[name] for name in GAUGES}
        if not any(left.values()) or time.monotonic() > deadline:
            return left
        time.sleep(0.5)


def growth(samples: Sequence[Mapping[str, Any]]) -> Estimate:
    """Bytes of memory for each further request over the second half: the least-squares slope, and twice its error.

    The error assumes that the samples are independent.
    """
    half = samples[len(samples) // 2 :]
    xs = [float(sample["requests"]) for sample in half]
    ys = [float(sum(sample["bytes"].values())) for sample in half]
    slope, start = linear_regression(xs, ys)
    mean = sum(xs) / len(xs)
    variation = sum((x - mean) ** 2 for x in xs)
    residual = sum((y - start - slope * x) ** 2 for x, y in zip(xs, ys, strict=True)) / max(1, len(xs) - 2)
    error = 2 * (residual / variation) ** 0.5
    return Estimate(slope, slope - error, slope + error)


def has_one_ending_each(results: Results) -> bool:
    """Whether the server's count of endings agrees with the clients'.

    Requests of clients that vanished before they saw anything may never have reached the server; those of clients that
    vanished later may have been answered or refused already.
    """
    counted, seen = results["outcomes"], results["endings"]
    return (
        set(counted) <= {"ok", "invalid", "cancelled"}
        and counted.get("ok", 0) >= seen.get("answered", 0)
        and counted.get("invalid", 0) >= seen.get("refused", 0)
        and results["requests"] - results["unseen"] <= sum(counted.values()) <= results["requests"]
    )


def report(results: Results) -> Report:
    return Report(_targets(results), _tables(results), [_plot(results["samples"])])


def _targets(results: Results) -> list[Target]:
    grown = growth(results["samples"])
    counted, wrong = results["outcomes"], results["wrong"]["number"]
    left = [f"{name} {value:g}" for name, value in results["left"].items() if value]
    return [
        Target(
            f"no growth: over the second half, memory grows by less than {BYTES_PER_REQUEST:.0f} bytes a request",
            f"{grown.show(0)} bytes a request",
            at_most(grown, BYTES_PER_REQUEST) if results["seconds"] >= FEWEST_SECONDS else Verdict.NOT_MEASURED,
        ),
        Target(
            "no leak: whenever the load pauses, nothing runs, waits or holds engine memory; every request ended once",
            f"{', '.join(left) or 'nothing left'}; {sum(counted.values()):,} endings of {results['requests']:,} "
            f"requests ({results['unseen']:,} vanished before they saw anything)",
            Verdict.REACHED if not left and has_one_ending_each(results) else Verdict.MISSED,
        ),
        Target(
            "exact counts: every report equals a count of the reply's token ids and is within its bounds",
            f"{wrong} wrong of {results['endings'].get('answered', 0):,} replies",
            Verdict.MISSED if wrong else Verdict.REACHED,
        ),
    ]


def _tables(results: Results) -> list[Table]:
    seen, counted = results["endings"], results["outcomes"]
    endings = (
        ("answered in full, and checked", "answered", "ok"),
        ("refused: the budget was invalid", "refused", "invalid"),
        ("given up by the client", "gone", "cancelled"),
    )
    half, end = results["samples"][len(results["samples"]) // 2], results["samples"][-1]
    return [
        Table(
            "Requests by how they ended; some clients gave up too late, and some were never seen by the server",
            ("ending", "counted by the clients", "counted by the server"),
            [(name, f"{seen.get(ours, 0):,}", f"{counted.get(servers, 0):,}") for name, ours, servers in endings],
        ),
        Table(
            "Steering requests by their status; `applied` counts the choices whose bounds changed",
            ("status", "requests"),
            [(status, f"{number:,}") for status, number in sorted(results["steering"].items())],
        ),
        Table(
            f"Private memory in MiB by kind of process ({results['choices']:,} choices, {results['tokens']:,} tokens)",
            ("process", "at half time", "at the end"),
            [
                (kind, *(f"{sample['bytes'].get(kind, 0) / 2**20:.1f}" for sample in (half, end)))
                for kind in end["bytes"]
            ],
        ),
        Table(
            "What the engine core keeps of each step while it has no idle second, with one stream and no budget",
            ("server", "bytes a step", "steps"),
            [(name, f"{each['bytes']:.0f}", f"{each['steps']:,.0f}") for name, each in results["busy"].items()],
        ),
    ]


def _plot(samples: Sequence[Mapping[str, Any]]) -> Plot:
    curves = {
        kind: [(sample["seconds"] / 60, Estimate(sample["bytes"].get(kind, 0) / 2**20)) for sample in samples]
        for kind in samples[-1]["bytes"]
    }
    return Plot("soak", "Memory of the server under random requests", "minutes", "MiB", curves)
