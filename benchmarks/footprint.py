"""What a server of ours takes beside plain vLLM's: memory of its processes, time to start, bytes for each budget."""

import gc
import sys
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from vllm import EngineArgs, SamplingParams
from vllm.config import VllmConfig
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.v1.sample.logits_processor import BatchUpdate

from tenuto_decoding import ThinkingBudget, compile_plan
from tenuto_decoding.prompt import Phase
from tenuto_decoding.vllm_requests import REQUEST_KEY, markers_of
from tenuto_decoding.vllm_v1 import ThinkingLogitsProcessor
from tenuto_server.budgets.resolution import ResolvedBudget
from tenuto_server.engine.accounting import CountedReply
from tenuto_server.engine.registry import RunningReplies, RunningReply

from .benchmark import Results, Run, Section, Table
from .in_process import engines_here
from .load import Fields, put_load
from .model import ROWS, save_model
from .processes import memory
from .servers import PLAIN_VLLM, TENUTO, RunningServer, serving, serving_together
from .spread import Spread

MODEL = "m"
FLAGS = ("--served-model-name", MODEL, "--dtype", "float32", "--enforce-eager", "--max-model-len", "4096")
PLAIN, OURS = "plain vLLM", "Tenuto"
COMMANDS = {PLAIN: PLAIN_VLLM, OURS: TENUTO}
STARTED, LOADED, BUDGETED = "ready", "after the load", "after the same load with budgets"

CONCURRENCY = 16
REQUESTS, QUICK_REQUESTS = 64, 4
TOKENS, QUICK_TOKENS = 64, 40
BUDGET: Fields = {"max_thinking_tokens": 32, "num_waits": 2}

#: Sequences whose memory is divided by their number, by how many tokens they have.
SEQUENCES = {0: 1000, 16_384: 20}
QUICK_SEQUENCES = {0: 100, 256: 10}


def measure(run: Run) -> Results:
    model = save_model(run.work / "model")
    # One after the other; where nothing is to be measured, both at once.
    groups = [[PLAIN, OURS]] if run.quick else [[PLAIN], [OURS], [OURS], [PLAIN], [PLAIN], [OURS]]
    starts: list[dict[str, Any]] = []
    for number, group in enumerate(groups):
        starts += _look_at(group, model, number, run)
    sequences = QUICK_SEQUENCES if run.quick else SEQUENCES
    with engines_here():
        budgets = [_cost_of_budgets(model, number, tokens) for tokens, number in sequences.items()]
    run.say("footprint: budgets are measured")
    return {"starts": starts, "budgets": budgets}


def _look_at(names: Sequence[str], model: Path, number: int, run: Run) -> list[dict[str, Any]]:
    """Start these servers, put the load on each in turn, and say what they took."""
    logs = [run.work / f"{name} {number}.log" for name in names]
    starting = [serving(COMMANDS[name], model, FLAGS, log) for name, log in zip(names, logs, strict=True)]
    with serving_together(*starting) as servers:
        return [_look_at_one(name, server, number, run) for name, server in zip(names, servers, strict=True)]


def _look_at_one(name: str, server: RunningServer, number: int, run: Run) -> dict[str, Any]:
    run.say(f"footprint: {name} is ready after {server.start_seconds:.1f} s")
    used = {STARTED: memory(server)}
    _load(server, {}, number, run)
    used[LOADED] = memory(server)
    if name == OURS:
        _load(server, BUDGET, number, run)
        used[BUDGETED] = memory(server)
    return {"server": name, "seconds": server.start_seconds, "memory": used}


def _load(server: RunningServer, fields: Fields, seed: int, run: Run) -> None:
    requests, tokens = (QUICK_REQUESTS, QUICK_TOKENS) if run.quick else (REQUESTS, TOKENS)
    put_load(server, MODEL, concurrency=CONCURRENCY, requests=requests, tokens=tokens, fields=[fields], seed=seed)


def _cost_of_budgets(model: Path, number: int, tokens: int) -> dict[str, float]:
    """Bytes for each of so many running sequences, all with budgets of their own, once each has so many tokens."""
    config = EngineArgs(model=str(model), dtype="float32", max_num_seqs=number).create_engine_config()
    processor = ThinkingLogitsProcessor(config, torch.device("cpu"), False)
    tokenizer = cached_tokenizer_from_config(config.model_config)
    opened = tokenizer.encode(markers_of(config).start)
    ids = [1000 + at % 50_000 for at in range(tokens)]
    prompts = [[1000 + at, *opened] for at in range(number)]
    outputs: list[list[int]] = [[] for _ in prompts]  # the engine's own, which it has without budgets too
    # Other caps for each: plans are kept for a while, and given again to whoever asks for the same.
    caps = [first + at for at in range(number) for first in (100_000 + 10 * tokens, 1_000_000 + 10 * tokens)]
    without = _taken(lambda: [_parameters({}, at) for at in range(number)])
    engine = _taken(lambda: _in_engine(processor, _budgets(caps[::2]), prompts, outputs, ids))
    api, slots = _in_api(config, _budgets(caps[1::2]), prompts, ids)
    return {
        "tokens": tokens,
        "sequences": number,
        "engine": (engine - without) / number,
        "api": (api - slots) / number,
        "ids": slots / number,
    }


def _budgets(caps: Sequence[int]) -> list[dict[str, Any]]:
    return [{"max_thinking_tokens": cap, "num_waits": 2} for cap in caps]


def _taken(work: Callable[[], Any]) -> int:
    """Bytes that Python has taken for what the work gave and left behind."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = work()
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        del kept
        return taken
    finally:
        tracemalloc.stop()


def _parameters(budget: Mapping[str, Any], at: int) -> SamplingParams:
    asked = {**budget, REQUEST_KEY: f"{at:032x}"} if budget else None
    return SamplingParams(temperature=0.0, max_tokens=32_000, extra_args=asked)


def _in_engine(
    processor: ThinkingLogitsProcessor,
    budgets: Sequence[Mapping[str, Any]],
    prompts: Sequence[list[int]],
    outputs: Sequence[list[int]],
    ids: Sequence[int],
) -> list[SamplingParams]:
    """What the engine does with a batch of budgets: they are added, and take their tokens."""
    parameters = [_parameters(budget, at) for at, budget in enumerate(budgets)]
    added = [(at, parameters[at], prompts[at], outputs[at]) for at in range(len(budgets))]
    processor.update_state(BatchUpdate(len(added), removed=[], added=added, moved=[]))
    for output in outputs:
        output.extend(ids)
    processor.apply(torch.zeros(len(budgets), ROWS))
    for output in outputs:  # what is measured are budgets, not the engine's lists
        output.clear()
    return parameters


def _in_api(
    config: VllmConfig, budgets: Sequence[Mapping[str, Any]], prompts: Sequence[list[int]], ids: Sequence[int]
) -> tuple[int, int]:
    """Bytes that the API server has for the accounts of running replies, and how many of them are lists of ids.

    The ids themselves are the objects that vLLM keeps until the end of the reply, for its own purposes.
    """
    tokenizer, markers = cached_tokenizer_from_config(config.model_config), markers_of(config)
    running = RunningReplies(lambda name: None)
    replies: list[CountedReply] = []

    def account() -> ExitStack:
        stack = ExitStack()
        for at, (asked, prompt) in enumerate(zip(budgets, prompts, strict=True)):
            budget = ThinkingBudget.from_mapping(asked)
            plan = compile_plan(budget, markers, tokenizer)
            resolved = ResolvedBudget(plan, budget, Phase.BEFORE, prompt[-1], dict.fromkeys(asked, "request"))
            reply = CountedReply(resolved, prompt, 1)
            one = RunningReply(f"chatcmpl-{at:032x}", 0, f"{at:032x}", reply)
            stack.enter_context(running.registered(one))
            for token in ids:
                reply.choices[0].take((token,))
            replies.append(reply)
        return stack

    taken = _taken(account)
    return taken, sum(sys.getsizeof(choice.ids) for reply in replies for choice in reply.choices)


def section(results: Results) -> Section:
    """Of the page."""
    return Section(
        title="Memory and start-up",
        text=_TEXT,
        targets=(),
        tables=[_starts(results), _memory(results), _budgets_table(results)],
    )


_TEXT = (
    "Both servers on the same random model with Qwen2.5's vocabulary (152,064 rows), started with the same flags one "
    "after the other, in turns; then the same load on each, without budgets, and for Tenuto once more with budgets. "
    "Time is from the command until the server says that it is ready (`/health` of plain vLLM, `/readyz` of Tenuto, "
    "which answers before that). Memory is each process's proportional share: what it has for itself, and its part "
    "of what it shares; 1 GiB of it is the cache for keys and values in both. What a budget takes is what Python has "
    "taken for a running sequence with a budget beyond one without, in the engine (parameters, plan, automaton) and "
    "in the API server (plan, account), for budgets that are all different; equal ones share their plan. The list of "
    "ids in the API server is given by itself: it points to the ids that vLLM keeps for the reply."
)


def _starts(results: Results) -> Table:
    seconds = {name: [each["seconds"] for each in results["starts"] if each["server"] == name] for name in COMMANDS}
    rows = [(name, Spread.of(every).show(1), "") for name, every in seconds.items()]
    ratio = Spread.of_ratios(seconds[OURS], seconds[PLAIN]).show(2)
    rows[-1] = (*rows[-1][:2], ratio)
    return Table("Seconds from the command until ready", ("server", "seconds", "ratio to plain vLLM"), rows)


def _memory(results: Results) -> Table:
    rows = []
    for moment in (STARTED, LOADED, BUDGETED):
        for kind in [*_kinds(results), ALL]:
            plain, ours = (_mebibytes(results, name, moment, kind) for name in (PLAIN, OURS))
            if ours:
                peer = plain or _mebibytes(results, PLAIN, LOADED, kind)
                more = Spread.of(own - other for own, other in zip(ours, peer, strict=True)).show(1)
                shown = Spread.of(plain).show(0) if plain else ""
                rows.append((moment, kind, shown, Spread.of(ours).show(0), more))
    head = ("when", "process", PLAIN, OURS, "more than plain vLLM")
    return Table("Memory in MiB; the load with budgets is compared with plain vLLM after its load", head, rows)


ALL = "all"


def _kinds(results: Results) -> list[str]:
    return list(dict.fromkeys(kind for each in results["starts"] for kind in each["memory"][STARTED]))


def _mebibytes(results: Results, name: str, moment: str, kind: str) -> list[float]:
    """By repetition; nothing where it was not measured."""
    found = [each["memory"].get(moment, {}) for each in results["starts"] if each["server"] == name]
    shares = [[used["share"] for own, used in every.items() if kind in (own, ALL)] for every in found if every]
    return [sum(each) / 2**20 for each in shares]


def _budgets_table(results: Results) -> Table:
    rows = [tuple(f"{each[field]:,.0f}" for field in ("tokens", "engine", "api", "ids")) for each in results["budgets"]]
    head = ("thinking tokens so far", "engine", "API server", "API server, list of ids")
    return Table("Bytes for each running sequence with a budget", head, rows)
