"""Half an hour of random requests: is every count exact, has every request one ending, and does nothing grow?"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import linear_regression
from typing import Any

import httpx

from tenuto_server.config.command_line import BUILT_IN_MODEL, BUILT_IN_NAME
from tenuto_testing.random_requests import RandomRequests, outcomes
from tenuto_testing.reply_counter import ReplyCounter

from .benchmark import Plot, Results, Run, Section, Table, Target
from .load import put_load
from .processes import ENGINE, memory
from .servers import PLAIN_VLLM, TENUTO, RunningServer, serving
from .spread import Spread

#: Spells of load, and how long each of them is.
SPELLS, SPELL_SECONDS = 30, 60.0
QUICK_SPELLS, QUICK_SPELL_SECONDS = 4, 1.5
#: Between two of them: long enough for vLLM's processes to find that nothing comes, which takes them a second.
REST_SECONDS = 2.5
#: How long it takes at least for its growth to say something: before, it is caches that fill.
TELLING_SECONDS = 600.0
AT_ONCE = 48
#: Longest that a request may take, and that the server may need to be idle.
PATIENCE_SECONDS, IDLE_SECONDS = 120.0, 30.0
#: Less than it takes to keep each request's id, and nothing else of it: 81 bytes for the string, 100 to find it again.
BYTES_PER_REQUEST = 150.0
SHOWN = 5

#: Requests, one after the other, and the tokens of each, that the engine is kept busy with for seconds on end.
BUSY, QUICK_BUSY = (64, 250), (2, 16)
PLAIN, OURS = "plain vLLM", "Tenuto"

#: oneDNN keeps a kernel for each shape that a batch has had, up to 1,024 of them: memory that grows, and is not ours.
ENVIRONMENT = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1"}
FLAGS = ("--served-model-name", BUILT_IN_NAME, "--dtype", "float32", "--enforce-eager")
GAUGES = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "tenuto_sequences",
)


def measure(run: Run) -> Results:
    """Put the load on a server of its own."""
    spells, seconds = (QUICK_SPELLS, QUICK_SPELL_SECONDS) if run.quick else (SPELLS, SPELL_SECONDS)
    environment = {} if run.quick else ENVIRONMENT  # the short form makes do with a server that has been started
    lines = (BUILT_IN_MODEL / "problems.jsonl").read_text().splitlines()
    questions = [json.loads(line)["question"] for line in lines]
    with serving(TENUTO, BUILT_IN_MODEL, FLAGS, run.work / "soak.log", environment) as server:
        busy = {OURS: _growth_while_busy(server, run)}  # first, as memory that a load has left behind would hide it
        run.say(f"soak: {spells} times {seconds:.0f} s of random requests, {AT_ONCE} at a time")
        soak = Soak(server, RandomRequests(server.url, questions, ReplyCounter()), run)
        asyncio.run(soak.last(spells, seconds))
        results = {"seconds": spells * seconds, "spells": spells, "at_once": AT_ONCE, **soak.results()}
    if not run.quick:
        with serving(PLAIN_VLLM, BUILT_IN_MODEL, FLAGS, run.work / "soak-plain.log", environment) as server:
            busy[PLAIN] = _growth_while_busy(server, run)
    return {**results, "busy": busy}


def _growth_while_busy(server: RunningServer, run: Run) -> dict[str, float]:
    """What the engine core keeps of each step while it has no second of rest: bytes, and the number of steps."""

    def look() -> tuple[float, float]:
        return memory(server)[ENGINE]["private"], server.metrics()["vllm:iteration_tokens_total_count"]

    requests, tokens = QUICK_BUSY if run.quick else BUSY
    put_load(server, BUILT_IN_NAME, concurrency=1, requests=max(1, requests // 8), tokens=tokens)
    before, first = look()
    put_load(server, BUILT_IN_NAME, concurrency=1, requests=requests, tokens=tokens, seed=1)
    after, last = look()
    run.say(f"soak: {last - first:.0f} steps without a rest")
    return {"steps": last - first, "bytes": (after - before) / (last - first)}


class Soak:
    """Spells of random requests; when one is over, the server's memory is looked at."""

    def __init__(self, server: RunningServer, requests: RandomRequests, run: Run) -> None:
        self._server, self._requests, self._run = server, requests, run
        self._earlier = self._outcomes()
        self._samples: list[dict[str, Any]] = []
        self._wrong: list[str] = []
        self._left: Counter[str] = Counter()
        self._number = 0

    async def last(self, spells: int, seconds: float) -> None:
        """Go on for so many times so long; requests that run by the end of a spell are waited for."""
        for spell in range(1, spells + 1):
            until = time.monotonic() + seconds
            await asyncio.gather(*(self._send(until) for _ in range(AT_ONCE)))
            self._left |= Counter(_when_idle(self._server))
            await asyncio.sleep(REST_SECONDS)
            self._sample(spell * seconds)

    async def _send(self, until: float) -> None:
        """One after the other."""
        while time.monotonic() < until:
            self._number += 1
            number = self._number
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._requests.one(number)
            except (AssertionError, LookupError, ValueError, OSError) as error:
                self._wrong.append(f"request {number}: {error!r}"[:2000])
                if len(self._wrong) <= SHOWN:
                    self._run.say(f"soak: {self._wrong[-1]}")
                if (status := self._server.process.poll()) is not None:
                    raise RuntimeError(f"the server ended with {status}") from error

    def _sample(self, seconds: float) -> None:
        used = {kind: each["private"] for kind, each in memory(self._server).items()}
        self._samples.append({"seconds": seconds, "requests": self._number, "bytes": used})
        total = sum(used.values()) / 2**20
        self._run.say(f"soak: {self._number} requests after {seconds:.0f} s, {total:.1f} MiB")

    def _outcomes(self) -> Counter[str]:
        return outcomes(httpx.get(f"{self._server.url}/metrics", timeout=30).text)

    def results(self) -> dict[str, Any]:
        requests = self._requests
        return {
            "requests": self._number,
            "endings": dict(requests.endings),
            "unseen": requests.unseen,
            "orders": dict(requests.orders),
            "choices": requests.choices,
            "tokens": requests.tokens,
            "outcomes": dict(self._outcomes() - self._earlier),
            "wrong": {"number": len(self._wrong), "first": self._wrong[:SHOWN]},
            "left": dict(self._left),
            "samples": self._samples,
        }


def _when_idle(server: RunningServer) -> dict[str, Any]:
    """What is still running or held once everything should be over; waits a while for it to be nothing."""
    deadline = time.monotonic() + IDLE_SECONDS
    while True:
        metrics = server.metrics()
        left = {name: metrics[name] for name in GAUGES}
        if not any(left.values()) or time.monotonic() > deadline:
            return left
        time.sleep(0.5)


def growth(samples: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Bytes of memory for each further request over the second half: the slope of least squares, and twice its error.

    The error takes the samples for independent of each other.
    """
    half = samples[len(samples) // 2 :]
    xs = [float(sample["requests"]) for sample in half]
    ys = [float(sum(sample["bytes"].values())) for sample in half]
    slope, start = linear_regression(xs, ys)
    middle = sum(xs) / len(xs)
    around = sum((x - middle) ** 2 for x in xs)
    residual = sum((y - start - slope * x) ** 2 for x, y in zip(xs, ys, strict=True)) / max(1, len(xs) - 2)
    return slope, 2 * (residual / around) ** 0.5


def has_one_ending_each(results: Results) -> bool:
    """Whether the server's count of endings can be the clients'.

    Whoever vanished with nothing seen may have done so before the server had read a word, and who vanished later may
    have been answered already, or refused.
    """
    told, seen = results["outcomes"], results["endings"]
    return (
        set(told) <= {"ok", "invalid", "cancelled"}
        and told.get("ok", 0) >= seen.get("answered", 0)
        and told.get("invalid", 0) >= seen.get("refused", 0)
        and results["requests"] - results["unseen"] <= sum(told.values()) <= results["requests"]
    )


def section(results: Results) -> Section:
    """Of the page."""
    return Section(
        title="Soak", text=_text(results), targets=_targets(results), tables=_tables(results), plots=_plots(results)
    )


def _text(results: Results) -> str:
    minutes, spells, at_once = f"{results['seconds'] / 60:.0f}", results["spells"], results["at_once"]
    return (
        f"`tenuto serve` with its built-in model for {minutes} minutes, {at_once} requests at a time: random budgets, "
        "right and wrong ones, streams and whole replies, one and two choices; three of ten clients vanish at some "
        "random point, and replies are steered while they run. Of every reply that was read, the reported thinking "
        "tokens are compared with a count of its token ids, its bounds with what was asked, and the usage with both; "
        "in the end, the server's own count of endings with the clients'. Memory is what no other process shares, of "
        f"all processes of the server, at {spells} moments when nothing runs. The server runs with "
        "`ONEDNN_PRIMITIVE_CACHE_CAPACITY=1`: otherwise oneDNN, below torch, keeps a kernel for each shape that a "
        "batch has had, up to 1,024 of them.\n\n"
        "Each of those moments comes behind two seconds of rest, because vLLM's engine core and its workers keep "
        "something of every step until they have had one second of it: they tell each other of new messages through a "
        "ZeroMQ socket that is only read by who finds nothing to do, and what ZeroMQ notes down for that socket stays "
        "until then. It is vLLM's own, and the last table shows it for both servers. It can be had again after the "
        "rest, and there is none of it where the engine has its worker within its own process, as on a single GPU."
    )


def _targets(results: Results) -> list[Target]:
    slope, error = growth(results["samples"])
    telling = results["seconds"] >= TELLING_SECONDS
    told, wrong = results["outcomes"], results["wrong"]["number"]
    left = [f"{name} {value:g}" for name, value in results["left"].items() if value]
    return [
        Target(
            f"no growth: over the second half, memory grows by less than {BYTES_PER_REQUEST:.0f} bytes a request, "
            "which is less than it takes to keep the request's id",
            f"{slope:.0f} ± {error:.0f} bytes a request",
            slope + error < BYTES_PER_REQUEST if telling else None,
        ),
        Target(
            "no leak: whenever the load pauses, nothing runs, waits, or holds memory of the engine; every request has "
            "had one ending",
            f"{', '.join(left) or 'nothing left'}; {sum(told.values()):,} endings of {results['requests']:,} requests, "
            f"{results['unseen']:,} of which vanished before they saw anything",
            not left and has_one_ending_each(results),
        ),
        Target(
            "exact counts: every report is what a count of the reply's token ids gives, and within its bounds",
            f"{wrong} wrong of {results['endings'].get('answered', 0):,} replies",
            wrong == 0,
        ),
    ]


def _tables(results: Results) -> list[Table]:
    seen, told, orders = results["endings"], results["outcomes"], results["orders"]
    rows = [
        ("answered in full, and checked", f"{seen.get('answered', 0):,}", f"{told.get('ok', 0):,}"),
        ("refused: the budget was wrong", f"{seen.get('refused', 0):,}", f"{told.get('invalid', 0):,}"),
        ("given up by the client", f"{seen.get('gone', 0):,}", f"{told.get('cancelled', 0):,}"),
    ]
    steered = [(_STATUSES.get(status, status), f"{number:,}") for status, number in sorted(orders.items())]
    return [
        Table(
            "Requests by how they ended; of the clients that gave up, some came too late, and some were never seen",
            ("ending", "counted by the clients", "counted by the server"),
            rows,
        ),
        Table("Orders to running replies, by their answer", ("answer", "orders"), steered),
        Table(
            "What was checked, and the memory of the server's processes",
            ("", ""),
            [
                ("choices", f"{results['choices']:,}"),
                ("tokens", f"{results['tokens']:,}"),
                *((f"memory of the {kind}", _from_to(results, kind)) for kind in results["samples"][-1]["bytes"]),
            ],
        ),
        Table(
            "What the engine core keeps of each step while it has no second of rest, with one stream and no budget",
            ("server", "bytes a step", "steps"),
            [(name, f"{each['bytes']:.0f}", f"{each['steps']:,.0f}") for name, each in results["busy"].items()],
        ),
    ]


_STATUSES = {
    "200": "carried out",
    "400": "refused: it leaves no room for the answer",
    "404": "too late: the reply was over",
    "409": "refused: steered too often",
    "applied": "choices whose bounds have changed by it",
}


def _from_to(results: Results, kind: str) -> str:
    samples = results["samples"]
    halves = (samples[len(samples) // 2], samples[-1])
    half, end = (sample["bytes"].get(kind, 0) / 2**20 for sample in halves)
    return f"{half:.1f} MiB at half time, {end:.1f} MiB in the end"


def _plots(results: Results) -> list[Plot]:
    samples = results["samples"]
    kinds = samples[-1]["bytes"]
    curves = {
        kind: [(s["seconds"] / 60, Spread.of([s["bytes"].get(kind, 0) / 2**20])) for s in samples] for kind in kinds
    }
    return [Plot("soak", "Memory of the server under random requests", "minutes", "MiB", curves)]
