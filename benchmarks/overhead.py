"""What budgets cost while tokens are generated: Tenuto's server against plain vLLM's, pair by pair.

With another checkout (`--against`), its server takes part too, so that two commits are compared in one run.
"""

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

from .benchmark import Plot, Report, Results, Run, Table, Target, Verdict, at_least
from .estimates import Estimate
from .load import Fields, put_load
from .model import save_model
from .processes import API, ENGINE, WORKER, processor_seconds
from .servers import RunningServer, plain_vllm, serving, tenuto

WIDE, TINY = "152,064 rows", "s1-tiny"

#: What is measured against plain vLLM: a second server of its own kind, Tenuto as it is without options (the cap that
#: keeps room for an answer is in force), and Tenuto without that cap, with these budgets.
CONTROL, DEFAULT, NO_BUDGET = "plain vLLM, second server", "default cap", "no budget"
GUARD, REDIRECT, FORCE = "guard", "redirect", "force"
#: With another checkout there are more runs in each repetition, so that only these are measured.
MODES_AGAINST = (NO_BUDGET, GUARD, REDIRECT)

#: The servers of one group of runs. The groups of CONTROL and DEFAULT have servers of their own as "tenuto".
PLAIN, TENUTO, OTHER = "plain", "tenuto", "other"
#: Which figures are divided by which, by title. The last two need another checkout.
COMPARISONS = {
    "Tenuto / plain vLLM": (TENUTO, PLAIN),
    "other checkout / plain vLLM": (OTHER, PLAIN),
    "Tenuto / other checkout": (TENUTO, OTHER),
}
AGAINST_PLAIN, *_ = COMPARISONS
RATIOS = {
    "tokens_per_second": "tokens/s (more is better)",
    "gap_ms": "mean gap between the chunks of a stream (less is better)",
    "api_us": "processor time of the API server for each token (less is better)",
}

#: The share of plain vLLM's tokens/s that must remain.
LEAST_WITHOUT, LEAST_WITH = 0.98, 0.95

#: Starts of the servers: some processes run faster than others of the same kind.
STARTS = 2
MINUTES = 32.0
#: Tokens that the model writes before a cap starts to force.
FREE_BEFORE_FORCED = 4
FLAGS = ("--served-model-name", "m", "--dtype", "float32", "--enforce-eager", "--max-model-len", "4096")

#: Figures of one run by their names; runs of one group by server; groups by number of streams and by mode.
Group = Mapping[str, Mapping[str, float]]
Groups = dict[str, dict[str, list[Group]]]


@dataclass(frozen=True)
class Load:
    """`requests` requests of `tokens` tokens each."""

    requests: int
    tokens: int


@dataclass(frozen=True)
class Model:
    """A model that the servers are compared on.

    Attributes:
        name: in the results.
        folder: the model itself.
        plain_flags: what plain vLLM gets in addition to the common flags.
        reserved: tokens of a reply that are not free thinking: markers, text that is forced with them, an answer.
        loads: by the number of concurrent streams.
        modes: what is measured.
        share: of the time for measuring.
    """

    name: str
    folder: Path
    plain_flags: Sequence[str]
    reserved: int
    loads: Mapping[int, Load]
    modes: Sequence[str]
    share: float


def budget(mode: str, bound: int) -> Fields:
    """The fields of a request; `bound` is just below the length of the reply."""
    if mode == GUARD:
        return {"max_thinking_tokens": bound, "cap_text": ""}
    if mode == REDIRECT:
        return {"min_thinking_tokens": bound}
    if mode == FORCE:
        return {"max_thinking_tokens": bound, "cap_text": " ".join(["word"] * (bound - FREE_BEFORE_FORCED))}
    return {}


def measure(run: Run) -> Results:
    starts = 1 if run.check else STARTS
    seconds = 0.0 if run.check else 60 * (run.minutes or MINUTES) / starts
    models, seeds = _models(run), count()
    found: dict[str, Groups] = {
        model.name: {str(streams): {mode: [] for mode in model.modes} for streams in model.loads} for model in models
    }
    for start in range(starts):
        for model in models:
            run.say(f"{model.name}: start {start + 1} of {starts}")
            with _servers(model, run) as servers:
                _warm_up(servers, model)
                for number in _repetitions(seconds * model.share):
                    run.say(f"{model.name}: repetition {number + 1}")
                    for streams, load in model.loads.items():
                        for mode, group in _repetition(servers, model, streams, load, start + number, seeds):
                            found[model.name][str(streams)][mode].append(group)
    return {name: summarize(groups) for name, groups in found.items()}


def _repetitions(seconds: float) -> Iterator[int]:
    """0, 1, 2 and so on, until another one would not fit into the time; at least one."""
    began = time.monotonic()
    for number in count():
        yield number
        passed = time.monotonic() - began
        if passed * (number + 2) / (number + 1) > seconds:
            return


def _models(run: Run) -> list[Model]:
    modes = (CONTROL, DEFAULT, NO_BUDGET, GUARD, REDIRECT)
    wide = Model(
        name=WIDE,
        folder=save_model(run.work / "wide"),
        plain_flags=("--reasoning-parser", "deepseek_r1"),
        reserved=4,
        loads={8: Load(8, 32)} if run.check else {1: Load(1, 64), 8: Load(8, 40), 32: Load(32, 40), 64: Load(64, 24)},
        modes=MODES_AGAINST if run.against else (*modes, FORCE),
        share=1.0 if run.check else 0.6,
    )
    if run.check:
        return [wide]
    tiny = Model(
        name=TINY,
        folder=Path(tenuto_server.__file__).parent / "s1_tiny",
        plain_flags=(),  # vLLM has no reasoning parser for this family
        reserved=16,
        loads={1: Load(2, 192), 8: Load(8, 160), 32: Load(32, 128), 64: Load(64, 96)},
        modes=MODES_AGAINST if run.against else modes,
        share=0.4,
    )
    return [tiny, wide]


@contextmanager
def _servers(model: Model, run: Run) -> Iterator[dict[str, RunningServer]]:
    """All servers, by PLAIN, TENUTO, OTHER, CONTROL and DEFAULT; only one is under load at a time."""
    flags = (*FLAGS, "--max-num-seqs", str(max(model.loads)))
    # As plain vLLM does: let any number of requests wait, and leave thinking alone where a request says nothing of it.
    any_number = ("--max-queued-requests", "-1")
    unbounded = (*any_number, "--default-max-thinking-tokens", "unlimited")
    plain = plain_vllm(model.folder, *flags, *model.plain_flags)
    commands = {PLAIN: plain, TENUTO: tenuto(model.folder, *flags, *unbounded)}
    if run.against:
        commands[OTHER] = tenuto(model.folder, *flags, *unbounded, checkout=run.against)
    if CONTROL in model.modes:
        commands[CONTROL] = plain
    if DEFAULT in model.modes:
        commands[DEFAULT] = tenuto(model.folder, *flags, *any_number)
    with serving(commands, run.work) as servers:
        yield servers


def _warm_up(servers: Mapping[str, RunningServer], model: Model) -> None:
    """Let everything happen that happens only once, and check that budgets are enforced."""
    for server in servers.values():
        for streams in model.loads:
            put_load(server.url, "m", concurrency=streams, requests=streams, tokens=8)
    for name in (TENUTO, OTHER):
        if name in servers:
            for mode in model.modes:
                for load in model.loads.values():
                    _check(servers[name], budget(mode, load.tokens - model.reserved), load.tokens)


def _check(server: RunningServer, fields: Fields, tokens: int) -> None:
    """Raises RuntimeError if the report does not confirm the budget, or if the forced text is missing."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "How many?"}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "temperature": 0.0,
        **fields,
    }
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=120)
    if answer.status_code != 200:
        raise RuntimeError(f"{fields} was refused: {answer.text}")
    choice = answer.json()["choices"][0]
    thinking = choice["thinking"]
    enforced = fields.get("min_thinking_tokens", 0) <= thinking["tokens"] <= fields.get("max_thinking_tokens", tokens)
    if not enforced or fields.get("cap_text", "") not in (choice["message"]["reasoning"] or ""):
        raise RuntimeError(f"{fields} was not enforced: {choice}")


def _repetition(
    servers: Mapping[str, RunningServer], model: Model, streams: int, load: Load, turn: int, seeds: Iterator[int]
) -> Iterator[tuple[str, Group]]:
    """Each mode once: the same load on the servers one right after the other. Orders alternate with `turn`."""
    first = turn % len(model.modes)
    for mode in (*model.modes[first:], *model.modes[:first]):
        names = [PLAIN, *([OTHER] if OTHER in servers else []), TENUTO]
        group = {}
        for name in names if turn % 2 == 0 else reversed(names):
            server = servers[mode if name == TENUTO and mode in servers else name]
            fields = {} if name == PLAIN else budget(mode, load.tokens - model.reserved)
            group[name] = _figures(server, streams, load, fields, next(seeds))
        yield mode, group


def _figures(server: RunningServer, streams: int, load: Load, fields: Fields, seed: int) -> dict[str, float]:
    """One run: rates, gaps, and microseconds of processor time for each token."""
    before = processor_seconds(server)
    found = put_load(
        server.url, "m", concurrency=streams, requests=load.requests, tokens=load.tokens, fields=fields, seed=seed
    )
    after, tokens = processor_seconds(server), load.requests * load.tokens
    kinds = {"api_us": API, "engine_us": ENGINE, "worker_us": WORKER}
    return {**found, **{name: 1e6 * (after[kind] - before[kind]) / tokens for name, kind in kinds.items()}}


def summarize(groups: Groups) -> Results:
    """Ratios with intervals, over all loads and at each number of streams, and medians of the figures themselves."""
    modes = list(next(iter(groups.values())))
    servers = next(iter(next(iter(groups.values())).values()))[0].keys()

    def estimates(figure: str, over: str, under: str, mode: str) -> dict[str, Any]:
        ratios = {
            streams: [group[over][figure] / group[under][figure] for group in by_mode[mode]]
            for streams, by_mode in groups.items()
        }
        each = {streams: Estimate.median(values).to_json() for streams, values in ratios.items()}
        return {"all": Estimate.pooled_median(list(ratios.values())).to_json(), **each}

    def medians(server: str, mode: str) -> dict[str, Any]:
        return {
            streams: {
                figure: round(median(group[server][figure] for group in by_mode[mode]), 2)
                for figure in by_mode[mode][0][server]
            }
            for streams, by_mode in groups.items()
        }

    return {
        "groups": {mode: {streams: len(by_mode[mode]) for streams, by_mode in groups.items()} for mode in modes},
        "ratios": {
            title: {figure: {mode: estimates(figure, over, under, mode) for mode in modes} for figure in RATIOS}
            for title, (over, under) in COMPARISONS.items()
            if {over, under} <= servers
        },
        "medians": {PLAIN: medians(PLAIN, NO_BUDGET), **{mode: medians(TENUTO, mode) for mode in modes}},
    }


def report(results: Results) -> Report:
    return Report(
        targets=[target for name, found in results.items() for target in _targets(name, found)],
        tables=[table for name, found in results.items() for table in _tables(name, found)],
        plots=[_plot(name, found) for name, found in results.items()],
    )


def _targets(name: str, found: Results) -> Iterator[Target]:
    shares = found["ratios"][AGAINST_PLAIN]["tokens_per_second"]
    control = Estimate(*shares[CONTROL]["all"]) if CONTROL in shares else None
    for mode, share in shares.items():
        if mode == CONTROL:
            continue
        least = LEAST_WITHOUT if mode == NO_BUDGET else LEAST_WITH
        noise = f"; second plain server: {control.show()}" if control else ""
        yield Target(
            f"{name}, {mode}: at least {100 * least:.0f} % of plain vLLM's tokens/s",
            Estimate(*share["all"]).show() + noise,
            verdict({load: Estimate(*stored) for load, stored in share.items()}, control, least),
        )


def verdict(shares: Mapping[str, Estimate], control: Estimate | None, least: float) -> Verdict:
    """Of the share over all loads, unless one load misses the target or the control varies by more than the claim."""
    if any(at_least(share, least) is Verdict.MISSED for share in shares.values()):
        return Verdict.MISSED
    if control and max(1 - control.least, control.most - 1) > 1 - least:
        return Verdict.NOT_DISTINGUISHABLE
    return at_least(shares["all"], least)


def _tables(name: str, found: Results) -> Iterator[Table]:
    streams = list(found["medians"][PLAIN])
    head = [f"{number} stream{'' if number == '1' else 's'}" for number in streams]
    for title, figures in found["ratios"].items():
        for figure, by_mode in figures.items():
            rows = [[mode, *(Estimate(*each).show() for each in ratios.values())] for mode, ratios in by_mode.items()]
            yield Table(f"{name}: {title}, {RATIOS[figure]}", ["", "all loads", *head], rows)
    for caption, names, digits in (
        (
            "tokens/s, mean gap in ms, 99th percentile of the gaps in ms",
            ("tokens_per_second", "gap_ms", "gap_p99_ms"),
            1,
        ),
        ("processor time per token of API server, engine core, worker in µs", ("api_us", "engine_us", "worker_us"), 0),
    ):
        rows = [
            [mode, *(", ".join(f"{by_load[number][figure]:.{digits}f}" for figure in names) for number in streams)]
            for mode, by_load in found["medians"].items()
        ]
        yield Table(f"{name}: medians of {caption}", ["", *head], rows)
    rows = [[mode, *map(str, by_load.values())] for mode, by_load in found["groups"].items()]
    yield Table(f"{name}: number of runs", ["", *head], rows)


def _plot(name: str, found: Results) -> Plot:
    shares = found["ratios"][AGAINST_PLAIN]["tokens_per_second"]
    return Plot(
        name="overhead_s1_tiny" if name == TINY else "overhead_152064",
        title=f"Decode overhead, {name}",
        x="concurrent streams",
        y="tokens/s as a share of plain vLLM's",
        curves={
            mode: [(float(streams), Estimate(*stored)) for streams, stored in share.items() if streams != "all"]
            for mode, share in shares.items()
        },
        log_x=True,
    )
