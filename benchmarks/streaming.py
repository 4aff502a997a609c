"""What a streamed chunk costs the process that speaks HTTP, and what many open streams cost it that wait."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from .benchmark import Results, Run, Section, Table, Target
from .load import Fields
from .model import save_model
from .servers import PLAIN_VLLM, TENUTO, UNBOUNDED, RunningServer, serving, serving_together
from .spread import Spread

MODEL = "m"
RUNNING = 8
FLAGS = (
    *("--served-model-name", MODEL, "--dtype", "float32", "--enforce-eager"),
    *("--max-num-seqs", str(RUNNING)),
)
#: Of the context, and of replies that keep a place busy; the short form makes do with servers that others have started.
CONTEXT, LONG = 16_384, 16_000
QUICK_CONTEXT, QUICK_LONG = 4_096, 3_500
PARSER = ("--reasoning-parser", "deepseek_r1")

PLAIN, AGAIN, BARE = "plain vLLM", "plain vLLM, once more", "plain vLLM without a reasoning parser"
NO_BUDGET, BUDGET = "Tenuto, no budget", "Tenuto, budget"

STREAMS = 500
#: Opened at a time, so that what a stream takes is measured several times.
OPENED_AT_A_TIME = 100
SHORT_TOKENS, SHORT_CAP = 16, 8
ANSWER = 4
SETTLE_SECONDS, POLL_SECONDS = 1.0, 0.02


@dataclass(frozen=True)
class Cost:
    """What one load came to: CPU seconds of the process that speaks HTTP, and what it sent."""

    cpu_seconds: float
    chunks: int
    tokens: int
    bytes: int

    @property
    def microseconds(self) -> float:
        """Per chunk, the request's share included."""
        return self.cpu_seconds / self.chunks * 1e6


@dataclass(frozen=True)
class Reply:
    """What came over one stream: server-sent events, bytes, the last usage, and the account of the thinking if any."""

    chunks: int
    bytes: int
    tokens: int
    thinking_tokens: int | None


def measure(run: Run) -> Results:
    folder = run.work / "streaming-model"
    model = save_model(folder) if run.quick else save_model(folder, hidden=64, layers=1)
    with _servers(run, model) as servers:
        costs = _costs(run, servers)
        streams = {
            name: asyncio.run(_open_streams(run, servers[name], probe, fields))
            for name, probe, fields in ((PLAIN, "/health", {}), (BUDGET, "/livez", _exactly(SHORT_CAP)))
        }
    return {"costs": {name: [asdict(cost) for cost in found] for name, found in costs.items()}, "streams": streams}


def _exactly(tokens: int) -> Fields:
    """A budget of so many thinking tokens, no more and no less."""
    return {"max_thinking_tokens": tokens, "min_thinking_tokens": tokens, "cap_text": ""}


@contextmanager
def _servers(run: Run, model: Path) -> Iterator[dict[str, RunningServer]]:
    starts: dict[str, tuple[Sequence[str], Sequence[str]]]
    starts = {PLAIN: (PLAIN_VLLM, PARSER), BUDGET: (TENUTO, UNBOUNDED)}
    if not run.quick:
        starts[BARE] = (PLAIN_VLLM, ())
    context = ("--max-model-len", str(QUICK_CONTEXT if run.quick else CONTEXT))
    logs = (run.work / f"streaming-{number}.log" for number in range(len(starts)))
    run.say(f"starting {len(starts)} servers")
    with serving_together(
        *(
            serving(command, model, (*FLAGS, *context, *flags), log)
            for (command, flags), log in zip(starts.values(), logs, strict=True)
        )
    ) as running:
        servers = dict(zip(starts, running, strict=True))
        yield {AGAIN: servers[PLAIN], NO_BUDGET: servers[BUDGET], **servers}


# What a chunk costs


def _costs(run: Run, servers: Mapping[str, RunningServer]) -> dict[str, list[Cost]]:
    tokens = 64 if run.quick else 384
    budgets = {BUDGET: _exactly(tokens - ANSWER)}
    repetitions = 1 if run.quick else 10
    found: dict[str, list[Cost]] = {name: [] for name in servers}
    for repetition in range(-1, repetitions):  # the first is to warm up
        run.say(f"cost of a chunk, {repetition + 1} of {repetitions}")
        for name, server in servers.items():
            cost = asyncio.run(_cost(server, budgets.get(name, {}), tokens, repetition))
            if repetition >= 0:
                found[name].append(cost)
    return found


async def _cost(server: RunningServer, fields: Fields, tokens: int, seed: int) -> Cost:
    before = _cpu_seconds(server)
    async with _client(server) as client:
        replies = await asyncio.gather(*(_reply(client, f"{seed} {n}", tokens, fields) for n in range(RUNNING)))
    if any(reply.tokens != tokens for reply in replies):
        raise RuntimeError(f"replies should have {tokens} tokens: {[reply.tokens for reply in replies]}")
    return Cost(
        cpu_seconds=_cpu_seconds(server) - before,
        chunks=sum(reply.chunks for reply in replies),
        tokens=tokens * RUNNING,
        bytes=sum(reply.bytes for reply in replies),
    )


def _cpu_seconds(server: RunningServer) -> float:
    times = server.api.cpu_times()
    return float(times.user + times.system)


@asynccontextmanager
async def _client(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    unbounded = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=server.url, timeout=600, limits=unbounded) as client:
        yield client


async def _reply(client: httpx.AsyncClient, name: str, tokens: int, fields: Fields) -> Reply:
    """One streamed reply, read to its end."""
    size, parts = 0, []
    async with client.stream("POST", "/v1/chat/completions", json=_body(name, tokens, stream=True, **fields)) as answer:
        if answer.status_code != 200:
            raise RuntimeError(f"{answer.status_code}: {(await answer.aread()).decode()}")
        async for part in answer.aiter_raw():
            size += len(part)
            parts.append(part)
    events = b"".join(parts).split(b"\n\n")
    if events[-2:] != [b"data: [DONE]", b""]:
        raise RuntimeError(f"the stream ended in {events[-2:]}")
    chunks = events[:-2]
    last = [json.loads(chunk.removeprefix(b"data: ")) for chunk in chunks[-2:]]
    thinking = [choice["thinking"]["tokens"] for chunk in last for choice in chunk["choices"] if "thinking" in choice]
    return Reply(len(chunks), size, last[-1]["usage"]["completion_tokens"], thinking[0] if thinking else None)


def _body(name: str, tokens: int, *, stream: bool, **fields: Any) -> dict[str, Any]:
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": f"Question {name}: how many?"}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "temperature": 0.0,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
        **fields,
    }


# What streams cost that wait


async def _open_streams(run: Run, server: RunningServer, probe: str, fields: Fields) -> dict[str, Any]:
    """Long replies take all places that run; streams opened then wait, idle, until those are given up."""
    at_a_time = 10 if run.quick else OPENED_AT_A_TIME
    streams = 20 if run.quick else STREAMS
    seconds = 1.0 if run.quick else 10.0
    tokens = QUICK_LONG if run.quick else LONG
    async with _client(server) as client:
        run.say(f"{streams} streams at once")
        long = [asyncio.create_task(_long_reply(client, number, tokens)) for number in range(RUNNING)]
        try:
            await _until(server, "vllm:num_requests_running", RUNNING, long)
            without = await _answer_times(server, probe, seconds)
            resident, waiting = [_resident(server)], []
            for opened in range(0, streams, at_a_time):
                names = (f"open {opened + number}" for number in range(at_a_time))
                waiting += [asyncio.create_task(_reply(client, name, SHORT_TOKENS, fields)) for name in names]
                await _until(server, "vllm:num_requests_waiting", len(waiting), [*long, *waiting])
                await asyncio.sleep(SETTLE_SECONDS)
                resident.append(_resident(server))
            answer_times = await _answer_times(server, probe, seconds)
            idle = sum(not task.done() for task in waiting)
        finally:
            for task in long:
                task.cancel()
            await asyncio.gather(*long, return_exceptions=True)
        replies = await asyncio.gather(*waiting)
    return {
        "streams": streams,
        "opened_at_a_time": at_a_time,
        "idle": idle,
        "resident": resident,
        "answers": {"before": without, "open": answer_times},
        "exact": sum(_is_exact(reply, fields) for reply in replies),
    }


async def _long_reply(client: httpx.AsyncClient, number: int, tokens: int) -> None:
    """Keeps a place busy until it is cancelled; not streamed, so that the server has little to do for it."""
    body = _body(f"long {number}", tokens, stream=False)
    answer = await client.post("/v1/chat/completions", json=body)
    raise RuntimeError(f"a long reply ended too soon: {answer.status_code} {answer.text[:200]}")


async def _until(server: RunningServer, metric: str, value: int, tasks: Sequence["asyncio.Task[Any]"]) -> None:
    while (found := (await asyncio.to_thread(server.metrics))[metric]) != value:
        for task in tasks:
            if task.done():
                raise RuntimeError(f"a stream ended while {metric} was {found}, not yet {value}") from task.exception()
        await asyncio.sleep(POLL_SECONDS)


async def _answer_times(server: RunningServer, probe: str, seconds: float) -> dict[str, list[float]]:
    """Milliseconds until further requests are answered, one after the other, each on a connection of its own."""
    paths = {"probe": probe, "models": "/v1/models"}
    found: dict[str, list[float]] = {name: [] for name in paths}
    unkept = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=unkept) as client:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name, path in paths.items():
                began = time.perf_counter()
                answer = await client.get(path)
                found[name].append((time.perf_counter() - began) * 1e3)
                answer.raise_for_status()
                await asyncio.sleep(POLL_SECONDS)
    return found


def _resident(server: RunningServer) -> int:
    return int(server.api.memory_info().rss)


def _is_exact(reply: Reply, fields: Fields) -> bool:
    return reply.tokens == SHORT_TOKENS and reply.thinking_tokens == fields.get("max_thinking_tokens")


TEXT = f"""\
A model of one narrow layer, so that the servers have most of the work; temperature 0, `ignore_eos`. Plain vLLM splits
off the reasoning by `--reasoning-parser deepseek_r1`, which every chunk of its passes; without a parser it gives all
text as content.

*Cost of a chunk*: {RUNNING} streamed chat completions at once. The time that the process which speaks HTTP spends on a
processor (user and system, of all its threads), divided by the chunks that were streamed; what a request costs once is
in it. Servers take turns, and differences are between neighbours in time. Plain vLLM is measured twice in each turn:
what it differs from itself is what cannot be told apart here.

*Open streams*: {RUNNING} long replies, not streamed, take all places of the engine (`--max-num-seqs {RUNNING}`). Then
streams are opened, which have to wait for their turn, and stay idle while further requests are timed, each on a new
connection: the liveness probe (`/livez`, plain vLLM's `/health`) and `/v1/models`. In the end the long replies are
given up, and every stream is read to its end. Tenuto's ask for exactly {SHORT_CAP} thinking tokens out of
{SHORT_TOKENS} tokens."""


def section(results: Results) -> Section:
    costs = {name: [Cost(**cost) for cost in found] for name, found in results["costs"].items()}
    streams = results["streams"]
    title = "API path: what a streamed chunk and an open stream cost"
    tables = [_cost_table(costs), _stream_table(streams)]
    return Section(title, TEXT, list(_targets(streams)), tables, notes=[_added(costs)])


def _targets(streams: Mapping[str, Any]) -> Iterator[Target]:
    ours = streams[BUDGET]
    wanted, idle, exact = ours["streams"], ours["idle"], ours["exact"]
    yield Target(
        f"{wanted} idle streams open at once, and every one ends with exact counts",
        f"{idle} idle at once, {exact} with exact counts",
        idle == exact == wanted,
    )


def _differences(costs: Mapping[str, Sequence[Cost]], name: str) -> Spread:
    return Spread.of(
        ours.microseconds - plain.microseconds for ours, plain in zip(costs[name], costs[PLAIN], strict=True)
    )


def _added(costs: Mapping[str, Sequence[Cost]]) -> str:
    return (
        f"A chunk takes Tenuto {_differences(costs, NO_BUDGET)} microseconds of processor time more than plain vLLM "
        f"without a budget, and {_differences(costs, BUDGET)} with one; plain vLLM differs from itself by "
        f"{_differences(costs, AGAIN)}. Below 0 is less."
    )


def _cost_table(costs: Mapping[str, Sequence[Cost]]) -> Table:
    rows = [
        [
            name,
            str(Spread.of(cost.microseconds for cost in costs[name])),
            "" if name == PLAIN else str(_differences(costs, name)),
            f"{median(cost.bytes / cost.chunks for cost in costs[name]):.0f}",
            f"{median(cost.tokens / cost.chunks for cost in costs[name]):.3f}",
        ]
        for name in (PLAIN, AGAIN, BARE, NO_BUDGET, BUDGET)
        if name in costs
    ]
    head = ["", "us a chunk", "more than plain vLLM", "bytes a chunk", "tokens a chunk"]
    return Table("Processor time of the process that speaks HTTP, in microseconds, for each chunk", head, rows)


def _stream_table(streams: Mapping[str, Any]) -> Table:
    rows = []
    for name, found in streams.items():
        resident, opened = found["resident"], found["opened_at_a_time"]
        each = Spread.of((after - before) / opened / 1024 for before, after in pairwise(resident))
        row = [name, f"{found['idle']}", str(each)]
        for what in ("probe", "models"):
            row += [_answered(found["answers"][when][what]) for when in ("before", "open")]
        rows.append([*row, f"{found['exact']} of {found['streams']}"])
    head = ["", "idle", "KiB a stream", "probe before", "probe", "models before", "models", "exact"]
    caption = (
        "Idle streams: resident memory of that process for each (spread over groups opened one after the other), and "
        "milliseconds until a further request is answered before and while they are open: median, and the worst"
    )
    return Table(caption, head, rows)


def _answered(milliseconds: Sequence[float]) -> str:
    return f"{median(milliseconds):.1f}, {max(milliseconds):.1f}"
