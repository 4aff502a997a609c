"""What budgets cost while tokens are generated: rates and gaps between tokens, against plain vLLM's server."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import httpx

import tenuto_server

from .benchmark import Plot, Results, Run, Section, Table, Target
from .load import Fields, put_load
from .model import save_model
from .processes import API, ENGINE, WORKER, processor_seconds
from .servers import PLAIN_VLLM, TENUTO, UNBOUNDED, RunningServer, serving, serving_together
from .spread import Spread, median_interval, pooled_median, show_within

MODEL = "m"
FLAGS = ("--served-model-name", MODEL, "--dtype", "float32", "--enforce-eager", "--max-model-len", "4096")

WIDE, TINY = "152,064 rows", "s1-tiny"
PLAIN, AGAIN, NO_BUDGET = "plain vLLM", "plain vLLM, a second server", "no budget"
GUARD, REDIRECT, FORCE = "guard", "redirect", "force"

#: Shares of plain vLLM's tokens a second that are to be left.
LEAST_WITHOUT, LEAST_WITH = 0.98, 0.95

#: Starts of the servers; a process that starts may be lucky, whatever it runs.
ROUNDS = 2

#: Repetitions of which one also measures what has no target.
EVERY = 3

#: Tokens that the model writes before a cap begins to force.
FREE_BEFORE_FORCED = 4


@dataclass(frozen=True)
class Mode:
    """What requests ask for: a kind of budget, and how many percent of them; `kind` is None for no budget."""

    name: str
    kind: str | None = None
    percent: int = 0


def _budgeted(percent: int, *kinds: str) -> list[Mode]:
    return [Mode(f"{kind}, {percent} %", kind, percent) for kind in kinds]


@dataclass(frozen=True)
class Load:
    """So many requests of so many tokens each."""

    requests: int
    tokens: int


@dataclass(frozen=True)
class Scale:
    """A model that servers are compared on.

    Attributes:
        name: in the results.
        model: its folder.
        plain_flags: what plain vLLM is given beside the flags of both.
        answer: tokens of a reply that no bound may take: markers, what is forced with them, and an answer.
        loads: by the number of streams at once.
        modes: what is compared with plain vLLM; an even number, for each shares its peer's run with another.
        seldom: what has no target, and is measured in every third repetition; an even number too.
        seconds: for repetitions, after each start of the servers; at least one is made.
    """

    name: str
    model: Path
    plain_flags: Sequence[str]
    answer: int
    loads: Mapping[int, Load]
    modes: Sequence[Mode]
    seldom: Sequence[Mode]
    seconds: float

    @property
    def names(self) -> list[str]:
        """Of all modes, as the tables show them."""
        kinds = (None, GUARD, REDIRECT, FORCE)
        shown = sorted([*self.seldom, *self.modes], key=lambda mode: (kinds.index(mode.kind), mode.percent))
        return [mode.name for mode in shown]

    def order(self, turn: int) -> list[Mode]:
        """What is measured in a repetition, turned so that none always comes behind the same one."""
        modes = [*self.modes, *(self.seldom if turn % EVERY == 0 else ())]
        start = turn * 3 % len(modes)
        return [*modes[start:], *modes[:start]]

    def fields(self, mode: Mode, tokens: int) -> list[Fields]:
        """What the bodies of requests say in turn."""
        if mode.kind is None:
            return [{}]
        asked = budget(mode.kind, tokens - self.answer)
        return [asked] if mode.percent == 100 else [asked, {}]


def budget(kind: str, bound: int) -> Fields:
    if kind == GUARD:
        return {"max_thinking_tokens": bound, "cap_text": ""}
    if kind == REDIRECT:
        return {"min_thinking_tokens": bound}
    return {"max_thinking_tokens": bound, "cap_text": " ".join(["word"] * (bound - FREE_BEFORE_FORCED))}


def measure(run: Run) -> Results:
    rounds = 1 if run.quick else ROUNDS
    results: dict[str, Any] = {}
    seeds = count()
    scales = _scales(run)
    for number in range(rounds):
        for scale in scales:
            empty: dict[str, Any] = {str(streams): {name: [] for name in scale.names} for streams in scale.loads}
            kept = results.setdefault(scale.name, empty)
            run.say(f"{scale.name}, start {number + 1} of {rounds}")
            with _servers(scale, run) as servers:
                _warm(servers, scale)
                for repetition in _within(scale.seconds):
                    run.say(f"{scale.name}, repetition {repetition + 1}")
                    for streams, load in scale.loads.items():
                        order = scale.order(number + repetition)
                        for name, pair in _repetition(servers, scale, order, streams, load, seeds):
                            kept[str(streams)][name].append(pair)
    return results


def _within(seconds: float) -> Iterator[int]:
    """0, 1, 2 and so on, until another one would not fit into the time."""
    begin = time.monotonic()
    for number in count():
        yield number
        passed = time.monotonic() - begin
        if passed * (number + 2) / (number + 1) > seconds:
            return


def _scales(run: Run) -> list[Scale]:
    wide = Scale(
        name=WIDE,
        model=save_model(run.work / "overhead-model"),
        plain_flags=("--reasoning-parser", "deepseek_r1"),
        answer=4,
        loads={1: Load(2, 32), 8: Load(8, 32)}
        if run.quick
        else {1: Load(2, 64), 8: Load(16, 40), 32: Load(32, 40), 64: Load(64, 40)},
        modes=[Mode(NO_BUDGET), *_budgeted(100, GUARD, REDIRECT, FORCE)],
        seldom=[Mode(AGAIN), *_budgeted(50, GUARD, REDIRECT, FORCE)],
        seconds=0 if run.quick else 600,
    )
    if run.quick:
        return [wide]
    tiny = Scale(
        name=TINY,
        model=Path(tenuto_server.__file__).parent / "s1_tiny",
        plain_flags=(),  # vLLM has no parser for this family
        answer=16,
        loads={1: Load(2, 192), 8: Load(8, 160), 32: Load(32, 128), 64: Load(64, 96)},
        modes=[Mode(AGAIN), Mode(NO_BUDGET), *_budgeted(100, GUARD, REDIRECT)],
        seldom=[],
        seconds=420,
    )
    return [wide, tiny]


@contextmanager
def _servers(scale: Scale, run: Run) -> Iterator[dict[str, RunningServer]]:
    """Two of plain vLLM's (the quick form makes do with one) and ours, all idle but the one that is under load."""
    flags = (*FLAGS, "--max-num-seqs", str(max(scale.loads)))
    plain_flags = (*flags, *scale.plain_flags)
    names = (NO_BUDGET, PLAIN) if run.quick else (NO_BUDGET, PLAIN, AGAIN)
    starts = []
    for number, name in enumerate(names):
        command, all_flags = (TENUTO, (*flags, *UNBOUNDED)) if name == NO_BUDGET else (PLAIN_VLLM, plain_flags)
        starts.append(serving(command, scale.model, all_flags, run.work / f"overhead-{number}.log"))
    with serving_together(*starts) as running:
        servers = dict(zip(names, running, strict=True))
        yield {AGAIN: servers[PLAIN], **servers}


def _warm(servers: Mapping[str, RunningServer], scale: Scale) -> None:
    """Let everything happen once that happens only once, and see that budgets do what they are said to do."""
    for server in dict.fromkeys(servers.values()):
        for streams in scale.loads:
            put_load(server, MODEL, concurrency=streams, requests=streams, tokens=8)
    for mode in scale.modes:  # those of half of the requests are the same ones
        if mode.percent == 100:
            for load in scale.loads.values():
                _check(servers[NO_BUDGET], scale.fields(mode, load.tokens)[0], load.tokens)


def _check(server: RunningServer, fields: Fields, tokens: int) -> None:
    """Raises RuntimeError where the report does not say that the budget was kept, or the forced text is missing."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "How many?"}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "temperature": 0.0,
        **fields,
    }
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=120)
    if answer.status_code != 200:
        raise RuntimeError(f"{fields} were not taken: {answer.text}")
    choice = answer.json()["choices"][0]
    thinking = choice["thinking"]
    kept = fields.get("min_thinking_tokens", 0) <= thinking["tokens"] <= fields.get("max_thinking_tokens", tokens)
    if not kept or fields.get("cap_text", "") not in (choice["message"]["reasoning"] or ""):
        raise RuntimeError(f"{fields} were not kept: {choice}")


def _repetition(
    servers: Mapping[str, RunningServer],
    scale: Scale,
    order: Sequence[Mode],
    streams: int,
    load: Load,
    seeds: Iterator[int],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mode once, two of them around one run of plain vLLM's: their names, with the figures and the peer's."""

    def figures(mode: Mode) -> dict[str, Any]:
        server = servers.get(mode.name, servers[NO_BUDGET])
        before = processor_seconds(server)
        found = put_load(
            server,
            MODEL,
            concurrency=streams,
            requests=load.requests,
            tokens=load.tokens,
            fields=scale.fields(mode, load.tokens),
            seed=next(seeds),
        )
        after, tokens = processor_seconds(server), load.requests * load.tokens
        taken = {kind: 1e6 * (after[kind] - before[kind]) / tokens for kind in (API, ENGINE, WORKER)}
        return {**found.to_dict(), "processor_us": taken}

    for one, other in zip(order[::2], order[1::2], strict=True):
        before, peer, after = figures(one), figures(Mode(PLAIN)), figures(other)
        yield one.name, {"figures": before, "peer": peer}
        yield other.name, {"figures": after, "peer": peer}


TEXT = f"""\
The same load on plain vLLM's OpenAI server and on Tenuto's, by the coroutine behind `vllm bench serve`: streamed chat
completions, temperature 0, `ignore_eos`, so that every reply has the same number of tokens. Both have the same model
and the same flags (`--dtype float32 --enforce-eager`), all of them stay up, and one at a time is under load. The load
tool runs on the same cores. Every run of Tenuto's stands next to one of plain vLLM's, and is divided by it. Servers
are started {ROUNDS} times, and the runs of all starts are put together, since one start may be luckier than another. A
second server of plain vLLM's is measured as Tenuto is: what *that* differs from 1 is what cannot be told apart here.
Runs are short, a second or two, and many: on a machine that is shared the slow phases come and go within seconds, and a
median of many pairs leaves them out where a long run would hold some. With the targets stands, in parentheses, what
holds the value with 95 %: that of the median at each number of streams (of order statistics), and that of their
geometric mean (drawn anew from the pairs). A target is reached where the mean over all loads reaches it and no load is
shown to miss it, that is, the interval of none lies below.

- *no budget*: requests as they are; Tenuto still counts their thinking and reports it.
- *guard*: a cap that is reached just before the reply ends; until then only stop tokens are guarded against.
- *redirect*: a floor that is reached just before the reply ends; in every step an attempt to stop would become "Wait".
- *force*: a cap with a long `cap_text`: all but the first {FREE_BEFORE_FORCED} tokens of the thinking are forced.
- *50 %, 100 %* of the requests ask for that, the others for nothing.

*{WIDE}* is a model with Qwen2.5's vocabulary; plain vLLM splits off its reasoning by `--reasoning-parser deepseek_r1`.
*{TINY}*, the built-in model, is the hardest case: its steps cost next to nothing, so that only the servers and the
engine's Python are left. vLLM has no reasoning parser for its family: plain vLLM does without that work, and Tenuto
does it. There the model ends its thinking itself, where no floor keeps it from that."""


def section(results: Results) -> Section:
    targets = [target for name, kept in results.items() for target in _targets(name, kept)]
    tables = [table for name, kept in results.items() for table in _tables(name, kept)]
    plots = [_plot(number, name, kept) for number, (name, kept) in enumerate(results.items(), 1)]
    notes = [_where(name, kept) for name, kept in results.items()]
    return Section("Decode overhead against plain vLLM", TEXT, targets, tables, plots, notes)


def _targets(name: str, kept: Results) -> Iterator[Target]:
    streams = ", ".join(kept)
    first = next(iter(kept.values()))
    for mode in first:
        if mode == NO_BUDGET:
            least, wish = LEAST_WITHOUT, "without budgets"
        elif mode.endswith("100 %"):
            least, wish = LEAST_WITH, f"when every request has one ({mode.partition(',')[0]})"
        else:
            continue
        yield Target(
            f"{name}: tokens/s within {100 * (1 - least):.0f} % of plain vLLM's {wish}",
            f"{_shares(kept, mode)} at {streams} streams (plain against plain: {_shares(kept, AGAIN)})",
            _overall(kept, mode)[0] >= least and not any(high < least for _, _, high in _medians_within(kept, mode)),
        )


def _shares(kept: Results, mode: str) -> str:
    """Over all loads, and at each number of streams."""
    each = ", ".join(show_within(*found) for found in _medians_within(kept, mode))
    return f"{show_within(*_overall(kept, mode))} over all loads; {each}"


def _overall(kept: Results, mode: str) -> tuple[float, float, float]:
    return pooled_median([_ratios(kept, streams, mode) for streams in kept])


def _medians_within(kept: Results, mode: str) -> list[tuple[float, float, float]]:
    """At each number of streams the median, and what it lies within."""
    every = [_ratios(kept, streams, mode) for streams in kept]
    return [(median(ratios), *median_interval(ratios)) for ratios in every]


def _ratios(kept: Results, streams: str, mode: str, figure: str = "tokens_per_second") -> list[float]:
    return [pair["figures"][figure] / pair["peer"][figure] for pair in kept[streams][mode]]


def _spread(kept: Results, streams: str, mode: str, figure: str = "tokens_per_second") -> Spread:
    return Spread.of(_ratios(kept, streams, mode, figure))


def _tables(name: str, kept: Results) -> Iterator[Table]:
    modes = list(next(iter(kept.values())))
    head = ["", *(f"{streams} streams" if streams != "1" else "1 stream" for streams in kept)]
    for figure, caption in (
        ("tokens_per_second", "tokens/s as a share of plain vLLM's (more is better)"),
        ("itl_mean", "mean gap between the chunks of a stream, as a share of plain vLLM's (less is better)"),
    ):
        rows = [[mode, *(_spread(kept, streams, mode, figure).show(3) for streams in kept)] for mode in modes]
        yield Table(f"{name}: {caption}", head, rows)
    rows = [[PLAIN, *(_medians(kept[streams][AGAIN], "peer") for streams in kept)]]
    rows += [[mode, *(_medians(kept[streams][mode], "figures") for streams in kept)] for mode in modes]
    yield Table(
        f"{name}: requests/s; tokens/s; median, mean and 99th percentile of the gaps in ms (medians over all runs)",
        head,
        rows,
    )
    rows = [[PLAIN, *(_processor(kept[streams][AGAIN], "peer") for streams in kept)]]
    rows += [[mode, *(_processor(kept[streams][mode], "figures") for streams in kept)] for mode in modes]
    yield Table(
        f"{name}: microseconds of processor time for each token, of the {API}, the {ENGINE} and the {WORKER} (medians; "
        "the latter two wait for each other in loops, which takes time of a processor too)",
        head,
        rows,
    )


def _medians(pairs: Sequence[Mapping[str, Mapping[str, Any]]], side: str) -> str:
    def middle(figure: str) -> float:
        return float(median(pair[side][figure] for pair in pairs))

    gaps = ", ".join(f"{middle(figure):.1f}" for figure in ("itl_median", "itl_mean", "itl_p99"))
    return f"{middle('requests_per_second'):.2f}; {middle('tokens_per_second'):.0f}; {gaps}"


def _processor(pairs: Sequence[Mapping[str, Mapping[str, Any]]], side: str) -> str:
    return ", ".join(
        f"{median(pair[side]['processor_us'][kind] for pair in pairs):.0f}" for kind in (API, ENGINE, WORKER)
    )


def _where(name: str, kept: Results) -> str:
    """Where the time of the busiest load goes: what the API server takes of a token's, ours and plain vLLM's."""
    streams, last = list(kept.items())[-1]

    def taken(mode: str, side: str) -> float:
        return float(median(pair[side]["processor_us"][API] for pair in last[mode]))

    clock = median(1e6 / pair["peer"]["tokens_per_second"] for pair in last[AGAIN])
    ours = ", ".join(f"{taken(mode, 'figures'):.0f} ({mode})" for mode in last if mode != AGAIN)
    return (
        f"{name}, {streams} streams: from plain vLLM a token comes every {clock:.0f} microseconds. Its API server "
        f"takes {taken(AGAIN, 'peer'):.0f} of processor time for it, Tenuto's {ours}. Servers and load tool share the "
        "cores, and with all of them busy a microsecond more for a token is one that the next step begins later."
    )


def _plot(number: int, name: str, kept: Results) -> Plot:
    modes = [mode for mode in next(iter(kept.values())) if not mode.endswith("50 %")]
    return Plot(
        name=f"overhead-{number}",
        title=f"Decode overhead, {name}",
        x="streams at once",
        y="tokens/s as a share of plain vLLM's",
        curves={mode: [(float(streams), _spread(kept, streams, mode)) for streams in kept] for mode in modes},
        log_x=True,
    )
