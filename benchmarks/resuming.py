"""Against s1's stop-append-resume: generate, stop, append "Wait", send all of it again."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isnan, log, log2
from statistics import median, quantiles
from typing import Any

import aiohttp
import numpy as np
from scipy.stats import theilslopes

from tenuto_training.tiny.task import CHUNK, random_bill

from .benchmark import Plot, Results, Run, Section, Table, Target
from .forcing import LIMIT, MODEL, NAME, Client, Reply, Words
from .servers import PLAIN_VLLM, TENUTO, RunningServer, serving, serving_together
from .spread import Spread, median_interval, show_within

#: What one way took of one repetition.
Taken = Mapping[str, Any]

WAITS = (0, 1, 2, 4, 6)
#: Starts of the servers; a process that starts may be lucky, whatever it runs. With two, the growth with each wait was
#: known to half a percent only, as much as it had been found to be.
ROUNDS = 6
#: Sequences at once, and how often that is repeated after each start.
SEQUENCES: Mapping[int, int] = {1: 28, 8: 10, 32: 4, 64: 3}
#: With a longer prompt, more is sent again.
LONG_SEQUENCES: Mapping[int, int] = {8: 3}
LONG_WAITS = (0, 2, 6)
#: With twice as many, half of the replies never try to stop.
BILLS_IN_CONTEXT = 4

FLAGS = (
    *("--served-model-name", NAME, "--dtype", "float32", "--enforce-eager"),
    *("--max-model-len", "4096", "--max-num-seqs", "64", "--block-size", "32", "--enable-prefix-caching"),
)


def measure(run: Run) -> Results:
    commands = {"resuming": PLAIN_VLLM, "one pass": TENUTO}
    rounds = 1 if run.quick else ROUNDS
    found: dict[str, Any] = {}
    for start in range(rounds):
        run.say(f"start {start + 1} of {rounds} of both servers")
        starts = (serving(command, MODEL, FLAGS, run.work / f"{name}.log") for name, command in commands.items())
        with serving_together(*starts) as running:
            asyncio.run(_compare(dict(zip(commands, running, strict=True)), run, start, found))
    return found


async def _compare(servers: Mapping[str, RunningServer], run: Run, start: int, found: dict[str, Any]) -> None:
    """Add the repetitions after one start, by setting, sequences at once and waits."""
    words = Words()
    settings: dict[str, tuple[Mapping[int, int], Sequence[int]]] = {
        "short": ({1: 2, 8: 1}, (0, 2)) if run.quick else (SEQUENCES, WAITS),
        "long": ({8: 1}, (2,)) if run.quick else (LONG_SEQUENCES, LONG_WAITS),
    }
    # Servers close a connection that was idle for five seconds; it must not be picked in that moment.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(300)) as session:
        clients = {name: Client(session, server.url, words, name == "resuming") for name, server in servers.items()}
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
) -> dict[str, Any]:
    """Both ways, one after the other, on prompts that no cache knows yet."""
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
        found[name] = {"seconds": seconds, **_told(replies[name]), **_prefilled(before, servers[name].metrics())}
    pairs = zip(replies["resuming"], replies["one pass"], strict=True)
    return {**found, "replies": len(prompts), "alike": sum(one.ids == other.ids for one, other in pairs)}


def _told(replies: Sequence[Reply]) -> dict[str, Any]:
    return {
        "tokens": sum(len(reply.ids) for reply in replies),
        "pauses": [round(reply.longest_pause, 2) for reply in replies],
    }


def _prefilled(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Prompt tokens that were sent to the engine, and those of them that no cache had."""
    sent, hits = (after[name] - before[name] for name in ("vllm:prompt_tokens_total", "vllm:prefix_cache_hits_total"))
    return {"sent": sent, "prefilled": sent - hits}


def _prompts(words: Words, name: str, number: int, context: str) -> list[list[int]]:
    chance = random.Random(name)
    return [words.prompt(context, random_bill(chance, shortest=CHUNK).question()) for _ in range(number)]


def _context(name: str) -> str:
    """About 150 tokens that stand before the question: other bills."""
    chance = random.Random(name)
    return "\n".join(random_bill(chance, shortest=CHUNK).question() for _ in range(BILLS_IN_CONTEXT))


#: By setting, sequences at once and waits: the repetitions.
Found = Mapping[str, Mapping[str, Mapping[str, Sequence[Taken]]]]
Cell = tuple[str, str, str, Sequence[Taken]]


def section(results: Results) -> Section:
    cells = [
        (setting, size, waits, repetitions)
        for setting, by_size in results.items()
        for size, by_waits in by_size.items()
        for waits, repetitions in by_waits.items()
    ]
    return Section(
        title="Against s1's stop-append-resume",
        text=TEXT,
        targets=[_nowhere_slower(cells), *_grows(results["short"]), _spares_prefill(results["short"])],
        tables=[_table_of_times(cells), _table_of_pauses(cells)],
        plots=[_plot(results["short"])],
        notes=[_alike(cells)],
    )


TEXT = f"""\
s1's own budget forcing generates until the model tries to stop, takes that token away, appends "Wait", and generates
again from the longer prompt; in the end it appends the answer's marker and generates the answer. Its users do that
with a server: here plain vLLM's, prefix cache on, with streamed `/v1/completions` of token ids and `stop_token_ids`,
so nothing is tokenized twice and connections are kept (the ids come from `return_token_ids`, which also sends the
prompt back at the beginning of every request). Ours is one such request with `num_waits`, on Tenuto. The client is
the same light one (aiohttp), both servers have the same flags, and blocks of the cache are of 32 tokens, the least
that vLLM's attention takes on CPUs: with the usual 128 the cache would seldom help stop-append-resume here.

The model is the built-in one at temperature 0 in float32, replies of up to {LIMIT} tokens. *Short* prompts are its
own task, some 45 tokens, with an attempt to stop every 35 tokens or so; *long* ones have about 150 more in front,
other bills (with twice as many, about half of this small model's replies never try to stop). All sequences start at
once, on prompts that neither cache knows; the two ways take turns, and a ratio above 1 says how many times longer
stop-append-resume takes. Even without waits it takes two requests: for the thinking, and for the answer.

Stop-append-resume is faster somewhere if what holds the median ratio with 95 % (of order statistics) lies below 1; of
fewer than six repetitions, if all of them do. Single ratios differ much where a machine is slower for some seconds
and faster for others. So whether the advantage grows is asked of all repetitions with short prompts together: the slope
of the ratio's logarithm along the waits, once the mean of each load is taken away, and along the load, without that of
each number of waits. With the targets stands the slope with what holds it with 95 %; it has to lie above 0 as a whole.
Along the waits the ratio has little room to grow: with each wait, stop-append-resume makes one more request, which
costs it a step and the prefill of a few tokens where the cache has the rest; but both ways also write one more stretch
of thinking. What surely grows with each wait is the prefill, which is the same on a quiet machine and on a busy one.

Both servers are up all the time and one has the load; they are started {ROUNDS} times, and the repetitions after all
starts are put together, since one start may be luckier than another. A client on the same two cores takes part of them
from both.
"""


def _ratio(repetitions: Sequence[Taken]) -> Spread:
    """How many times longer stop-append-resume takes."""
    return Spread.of(_ratios(repetitions))


def _ratios(repetitions: Sequence[Taken]) -> list[float]:
    return [one["resuming"]["seconds"] / one["one pass"]["seconds"] for one in repetitions]


def _nowhere_slower(cells: Sequence[Cell]) -> Target:
    """Equal is where stop-append-resume is not shown to be faster."""
    ratios = {f"{setting}, {size} at once, {waits} waits": _ratios(found) for setting, size, waits, found in cells}
    slower = [name for name, found in ratios.items() if _most(found) < 1]
    least = min(ratios, key=lambda name: median(ratios[name]))
    return Target(
        "equal or faster everywhere",
        f"slower in {len(slower)} of {len(ratios)} cells{''.join(f'; {name}' for name in slower)}; the least ratio: "
        f"{show_within(median(ratios[least]), *median_interval(ratios[least]))} ({least})",
        not slower,
    )


def _most(ratios: Sequence[float]) -> float:
    """What the median may be at most."""
    _, most = median_interval(ratios)
    return max(ratios) if isnan(most) else most


def _grows(short: Mapping[str, Mapping[str, Sequence[Taken]]]) -> list[Target]:
    """With the waits, whatever the load; with the load, whatever the waits, if there are any."""
    all_waits = list(next(iter(short.values())))
    by_waits = {f"{size} at once": {float(waits): cells[waits] for waits in all_waits} for size, cells in short.items()}
    by_load = {
        f"{waits} wait{'' if waits == '1' else 's'}": {log2(int(size)): cells[waits] for size, cells in short.items()}
        for waits in all_waits
        if waits != "0"
    }
    return [
        _growth(f"the advantage grows with waits (from {all_waits[0]} to {all_waits[-1]})", by_waits, "with each wait"),
        _growth(
            f"the advantage grows with load (from {next(iter(short))} to {list(short)[-1]} at once)",
            by_load,
            "with each doubling of the load",
        ),
    ]


def _growth(text: str, rows: Mapping[str, Mapping[float, Sequence[Taken]]], step: str) -> Target:
    """Whether ratios grow along the rows: by how much, over all rows and repetitions together."""
    slope, low, high = _slope(
        [[(at, log(ratio)) for at, found in row.items() for ratio in _ratios(found)] for row in rows.values()]
    )
    ends = "; ".join(
        f"{name}: {_ratio(found[0]).median:.2f} to {_ratio(found[-1]).median:.2f}"
        for name, found in ((name, list(row.values())) for name, row in rows.items())
    )
    return Target(text, f"by {slope:.1%} ({low:.1%} to {high:.1%}) {step}; medians from {ends}", low > 0)


def _spares_prefill(short: Mapping[str, Mapping[str, Sequence[Taken]]]) -> Target:
    """How many times more is prefilled for stop-append-resume, cache or not: more with every number of waits."""
    times = {
        f"{size} at once": [
            _per_reply(found, "resuming", "prefilled") / _per_reply(found, "one pass", "prefilled")
            for found in cells.values()
        ]
        for size, cells in short.items()
    }
    all_waits = list(next(iter(short.values())))
    return Target(
        f"the prefill that is spared grows with waits (from {all_waits[0]} to {all_waits[-1]}), at every load",
        "; ".join(f"{name}: {found[0]:.1f} to {found[-1]:.1f} times as much" for name, found in times.items()),
        all(less < more for found in times.values() for less, more in pairwise(found)),
    )


def _slope(rows: Sequence[Sequence[tuple[float, float]]]) -> tuple[float, float, float]:
    """The slope that points (x, y) of all rows have in common, and what it lies within (Theil and Sen, 95 %)."""
    centred = [np.array(row) - np.mean(row, axis=0) for row in rows]
    x, y = np.concatenate(centred).T
    found = theilslopes(y, x)
    return float(found.slope), float(found.low_slope), float(found.high_slope)


def _table_of_times(cells: Sequence[Cell]) -> Table:
    rows = []
    for setting, size, waits, repetitions in cells:
        seconds = (Spread.of(one[way]["seconds"] for one in repetitions).show(2) for way in ("resuming", "one pass"))
        prefill = (
            f"{_per_reply(repetitions, 'resuming', 'sent'):.0f}",
            f"{_per_reply(repetitions, 'resuming', 'prefilled'):.0f}",
            f"{_per_reply(repetitions, 'one pass', 'prefilled'):.0f}",
        )
        rows.append((setting, size, waits, *seconds, _ratio(repetitions).show(2), *prefill))
    return Table(
        "Seconds until all replies are there: median (lowest to highest); and prompt tokens for each reply",
        (
            *("prompts", "at once", "waits", "resuming, s", "one pass, s", "ratio"),
            *("resuming: sent", "of them prefilled", "one pass: prefilled"),
        ),
        rows,
    )


def _per_reply(repetitions: Sequence[Taken], way: str, what: str) -> float:
    tokens: float = sum(one[way][what] for one in repetitions)
    replies: int = sum(one["replies"] for one in repetitions)
    return tokens / replies


def _table_of_pauses(cells: Sequence[Cell]) -> Table:
    rows = []
    for setting, size, waits, repetitions in cells:
        pauses = {way: [p for one in repetitions for p in one[way]["pauses"]] for way in ("resuming", "one pass")}
        middle = {way: median(found) for way, found in pauses.items()}
        worst = {way: quantiles(found, n=100, method="inclusive")[-1] for way, found in pauses.items()}
        rows.append(
            (
                *(setting, size, waits),
                *(f"{figure:.0f}" for figures in (middle, worst) for figure in figures.values()),
                f"{middle['resuming'] / middle['one pass']:.1f}",
            )
        )
    return Table(
        "The longest pause within a reply, in milliseconds: median and 99th percentile over replies. The text that "
        'stop-append-resume appends is taken as shown at once; the pause is what comes before or after "Wait".',
        ("prompts", "at once", "waits", "resuming", "one pass", "resuming, p99", "one pass, p99", "ratio of medians"),
        rows,
    )


def _plot(short: Mapping[str, Mapping[str, Sequence[Taken]]]) -> Plot:
    return Plot(
        name="resuming",
        title="Stop-append-resume over one pass: wall time",
        x="waits",
        y="times longer",
        curves={
            f"{size} at once": [(float(waits), _ratio(found)) for waits, found in cells.items()]
            for size, cells in short.items()
        },
    )


def _alike(cells: Sequence[Cell]) -> str:
    replies = sum(one["replies"] for *_, repetitions in cells for one in repetitions)
    alike = sum(one["alike"] for *_, repetitions in cells for one in repetitions)
    return (
        f"Both ways gave the same tokens in {alike:,} of {replies:,} replies ({alike / replies:.2%}). "
        "The batches of the two ways are different ones, and with them the rounding of a step is."
    )
