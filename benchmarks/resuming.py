"""Against s1's stop-append-resume: generate, stop, append "Wait", send all of it again."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import log, log2
from statistics import median, quantiles
from typing import Any

import aiohttp

from tenuto_training.tiny.task import CHUNK, random_bill

from .benchmark import Plot, Report, Results, Run, Table, Target, Verdict, at_least
from .estimates import Estimate
from .servers import RunningServer, plain_vllm, serving, tenuto
from .stop_append_resume import MODEL, NAME, Client, Reply, Words

RESUMING, ONE_PASS = "resuming", "one pass"

WAITS = (0, 1, 2, 4, 6)
#: Starts of the servers: some processes run faster than others of the same kind. With two, the growth with each wait
#: was known to half a percent only, which is as much as was found.
STARTS = 6
#: Numbers of concurrent sequences, and how often each is repeated after each start.
SEQUENCES: Mapping[int, int] = {1: 28, 8: 10, 32: 4, 64: 3}
#: With longer prompts, more is sent again.
LONG_SEQUENCES: Mapping[int, int] = {8: 3}
LONG_WAITS = (0, 2, 6)
#: With twice as many bills in the context, half of the replies never try to stop.
BILLS_IN_CONTEXT = 4

FLAGS = (
    *("--served-model-name", NAME, "--dtype", "float32", "--enforce-eager"),
    *("--max-model-len", "4096", "--max-num-seqs", "64", "--block-size", "32", "--enable-prefix-caching"),
)

#: What each way took in one repetition, with the number of replies and of equal ones; by setting, size and waits.
Taken = Mapping[str, Any]
Cells = dict[str, dict[str, dict[str, list[Taken]]]]
#: A summary with where it belongs: setting, sequences, waits.
Cell = tuple[str, str, str, Mapping[str, Any]]


def measure(run: Run) -> Results:
    unbounded = ("--default-max-thinking-tokens", "unlimited")  # the peer caps nothing
    commands = {RESUMING: plain_vllm(MODEL, *FLAGS), ONE_PASS: tenuto(MODEL, *FLAGS, *unbounded)}
    starts = 1 if run.check else STARTS
    found: Cells = {}
    for start in range(starts):
        run.say(f"start {start + 1} of {starts} of both servers")
        with serving(commands, run.work) as servers:
            asyncio.run(_compare(servers, run, start, found))
    return summarize(found)


async def _compare(servers: Mapping[str, RunningServer], run: Run, start: int, found: Cells) -> None:
    """Add the repetitions after one start."""
    words = Words()
    settings: dict[str, tuple[Mapping[int, int], Sequence[int]]] = {
        "short": ({1: 2, 8: 1}, (0, 2)) if run.check else (SEQUENCES, WAITS),
        "long": ({8: 1}, (2,)) if run.check else (LONG_SEQUENCES, LONG_WAITS),
    }
    # Servers close a connection after five idle seconds; the client must not pick it at that moment.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(300)) as session:
        clients = {name: Client(session, server.url, words, name == RESUMING) for name, server in servers.items()}
        for client in clients.values():
            await client.replies(_prompts(words, "warm-up", 8, ""), 1, 8)
        for setting, (sizes, all_waits) in settings.items():
            for size, repetitions in sizes.items():
                run.say(f"{setting} prompts, {size} at once")
                cells = found.setdefault(setting, {}).setdefault(str(size), {str(waits): [] for waits in all_waits})
                for waits in all_waits:
                    for number in range(start * repetitions, (start + 1) * repetitions):
                        taken = await _repeat(servers, clients, words, setting, size, waits, number)
                        cells[str(waits)].append(taken)


async def _repeat(
    servers: Mapping[str, RunningServer],
    clients: Mapping[str, Client],
    words: Words,
    setting: str,
    size: int,
    waits: int,
    number: int,
) -> Taken:
    """Both ways, one after the other, on prompts that no cache has yet."""
    context = _context(f"{size} {waits} {number}") if setting == "long" else ""
    prompts = _prompts(words, f"{setting} {size} {waits} {number}", size, context)
    found: dict[str, Any] = {}
    replies: dict[str, list[Reply]] = {}
    for name in sorted(clients, reverse=bool(number % 2)):
        before = servers[name].metrics()
        loop = asyncio.get_running_loop()
        began = loop.time()
        replies[name] = await clients[name].replies(prompts, waits, size)
        seconds = loop.time() - began
        pauses = [reply.longest_pause for reply in replies[name]]
        found[name] = {"seconds": seconds, "pauses": pauses, **_prompt_tokens(before, servers[name].metrics())}
    pairs = zip(replies[RESUMING], replies[ONE_PASS], strict=True)
    return {**found, "replies": len(prompts), "alike": sum(one.ids == other.ids for one, other in pairs)}


def _prompt_tokens(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Prompt tokens that were sent to the engine, and those of them that no cache had."""
    sent, hits = (after[name] - before[name] for name in ("vllm:prompt_tokens_total", "vllm:prefix_cache_hits_total"))
    return {"sent": sent, "prefilled": sent - hits}


def _prompts(words: Words, name: str, number: int, context: str) -> list[list[int]]:
    chance = random.Random(name)
    return [words.prompt(context, random_bill(chance, shortest=CHUNK).question()) for _ in range(number)]


def _context(name: str) -> str:
    """About 150 tokens before the question: other bills."""
    chance = random.Random(name)
    return "\n".join(random_bill(chance, shortest=CHUNK).question() for _ in range(BILLS_IN_CONTEXT))


def summarize(found: Cells) -> Results:
    """The summary of each cell, and how the advantage grows over all short prompts together."""
    short = found["short"]
    all_waits = list(next(iter(short.values())))
    by_waits = [{float(waits): repetitions for waits, repetitions in cells.items()} for cells in short.values()]
    by_load = [{log2(int(size)): cells[waits] for size, cells in short.items()} for waits in all_waits if waits != "0"]
    return {
        "cells": {
            setting: {
                size: {waits: _summary(repetitions) for waits, repetitions in by_waits.items()}
                for size, by_waits in by_size.items()
            }
            for setting, by_size in found.items()
        },
        "growth": {"wait": _growth(by_waits).to_json(), "doubling of the load": _growth(by_load).to_json()},
    }


def _summary(repetitions: Sequence[Taken]) -> dict[str, Any]:
    replies = sum(one["replies"] for one in repetitions)

    def way(name: str) -> dict[str, float]:
        pauses = [pause for one in repetitions for pause in one[name]["pauses"]]
        return {
            "seconds": round(median(one[name]["seconds"] for one in repetitions), 3),
            "pause_ms": round(median(pauses), 1),
            "pause_p99_ms": round(quantiles(pauses, n=100, method="inclusive")[-1], 1),
            **{what: round(sum(one[name][what] for one in repetitions) / replies, 1) for what in ("sent", "prefilled")},
        }

    return {
        "repetitions": len(repetitions),
        "replies": replies,
        "alike": sum(one["alike"] for one in repetitions),
        "ratio": Estimate.median([_ratio(one) for one in repetitions]).to_json(),
        RESUMING: way(RESUMING),
        ONE_PASS: way(ONE_PASS),
    }


def _ratio(taken: Taken) -> float:
    """How many times longer stop-append-resume takes."""
    return float(taken[RESUMING]["seconds"] / taken[ONE_PASS]["seconds"])


def _growth(rows: Sequence[Mapping[float, Sequence[Taken]]]) -> Estimate:
    """The common slope of the ratio's logarithm along the rows."""
    return Estimate.common_slope(
        [[(at, log(_ratio(one))) for at, repetitions in row.items() for one in repetitions] for row in rows]
    )


def report(results: Results) -> Report:
    cells = [
        (setting, size, waits, cell)
        for setting, by_size in results["cells"].items()
        for size, by_waits in by_size.items()
        for waits, cell in by_waits.items()
    ]
    short = results["cells"]["short"]
    return Report(
        targets=[_nowhere_slower(cells), *_grows(results["growth"]), _spares_prefill(short)],
        tables=[_table_of_times(cells), _table_of_pauses(cells)],
        plots=[_plot(short)],
    )


def _nowhere_slower(cells: Sequence[Cell]) -> Target:
    """Equal is every cell where stop-append-resume is not shown to be faster."""
    ratios = {
        f"{setting}, {size} at once, {waits} waits": Estimate(*cell["ratio"]) for setting, size, waits, cell in cells
    }
    slower = [name for name, ratio in ratios.items() if ratio.high is not None and ratio.high < 1]
    least = min(ratios, key=lambda name: ratios[name].value)
    return Target(
        "one pass is as fast as stop-append-resume or faster everywhere",
        f"slower in {len(slower)} of {len(ratios)} cells{''.join(f'; {name}' for name in slower)}; least ratio of "
        f"times {ratios[least].show()} ({least})",
        Verdict.MISSED if slower else Verdict.REACHED,
    )


def _grows(growth: Mapping[str, Sequence[float]]) -> Iterator[Target]:
    for step, stored in growth.items():
        percent = Estimate(*(100 * each for each in stored))
        yield Target(f"the advantage grows with each {step}", f"by {percent.show(1, ' %')}", at_least(percent, 0))


def _spares_prefill(short: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Target:
    """How many times more is prefilled for stop-append-resume, despite the prefix cache."""
    times = {
        size: [cell[RESUMING]["prefilled"] / cell[ONE_PASS]["prefilled"] for cell in by_waits.values()]
        for size, by_waits in short.items()
    }
    grows = all(less < more for found in times.values() for less, more in pairwise(found))
    waits = list(next(iter(short.values())))
    measured = " and ".join(
        f"{min(ratios):.1f} to {max(ratios):.1f} times fewer with {waits[place]} waits"
        for place in (0, -1)
        if (ratios := [found[place] for found in times.values()])
    )
    return Target(
        "one pass prefills fewer tokens, and the advantage grows with the waits at every load",
        f"{measured}, at {', '.join(short)} at once",
        Verdict.REACHED if grows else Verdict.MISSED,
    )


def _table_of_times(cells: Sequence[Cell]) -> Table:
    rows = [
        (
            *(setting, size, waits, str(cell["repetitions"])),
            *(f"{cell[way]['seconds']:.2f}" for way in (RESUMING, ONE_PASS)),
            Estimate(*cell["ratio"]).show(2),
            f"{cell[RESUMING]['sent']:.0f}",
            *(f"{cell[way]['prefilled']:.0f}" for way in (RESUMING, ONE_PASS)),
        )
        for setting, size, waits, cell in cells
    ]
    replies, alike = (sum(cell[name] for *_, cell in cells) for name in ("replies", "alike"))
    return Table(
        "Seconds until all replies are complete (medians) and their ratio; prompt tokens for each reply. Both ways "
        f"gave the same tokens in {alike:,} of {replies:,} replies: their batches differ, and with them the rounding",
        (
            *("prompts", "at once", "waits", "repetitions", "resuming, s", "one pass, s", "ratio"),
            *("resuming: sent", "of them prefilled", "one pass: prefilled"),
        ),
        rows,
    )


def _table_of_pauses(cells: Sequence[Cell]) -> Table:
    rows = [
        (
            *(setting, size, waits),
            *(f"{cell[way][figure]:.0f}" for figure in ("pause_ms", "pause_p99_ms") for way in (RESUMING, ONE_PASS)),
        )
        for setting, size, waits, cell in cells
    ]
    return Table(
        "The longest pause within a reply in milliseconds: median and 99th percentile over replies",
        ("prompts", "at once", "waits", "resuming", "one pass", "resuming, p99", "one pass, p99"),
        rows,
    )


def _plot(short: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Plot:
    return Plot(
        name="resuming",
        title="Stop-append-resume: wall time relative to one pass",
        x="waits",
        y="times longer",
        curves={
            f"{size} at once": [(float(waits), Estimate(*cell["ratio"])) for waits, cell in by_waits.items()]
            for size, by_waits in short.items()
        },
    )
