"""Against vLLM's own `thinking_token_budget`: what a step costs in the processor after much thinking."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median

import torch
from vllm.tokenizers import cached_tokenizer_from_config

from .benchmark import Plot, Report, Results, Run, Table, Target, Verdict, at_least, at_most
from .estimates import Estimate
from .model import ROWS, save_model
from .persistent_batch import BUDGETS, BudgetedBatch, configuration

#: Milliseconds by length and by budget, one figure for each repetition.
ByLength = Mapping[str, Mapping[str, Sequence[float]]]

LENGTHS = (1_024, 4_096, 16_384, 32_768)
SEQUENCES = (1, 8, 32, 64)
REPETITIONS = 11
#: Steps of one figure. Ours take microseconds, so a steady mean takes more of them.
STEPS = {"vllm": 8, "cap": 24, "floor": 24}

#: Claims: how many times more a step may cost at 32k tokens than at 1k; how many times less than vLLM's it costs.
FLAT, TIMES_LESS = 1.25, 500
MOST, SHORT, LONG, LONGEST = "64", "1024", "16384", "32768"


def measure(run: Run) -> Results:
    """By the number of sequences. Budgets and lengths take turns."""
    config = configuration(save_model(run.work / "wide", hidden=64, layers=1))
    prompt = cached_tokenizer_from_config(config.model_config).encode("Why?\n<think>\n")
    lengths, all_sequences, repetitions = (LENGTHS[:2], (1,), 2) if run.check else (LENGTHS, SEQUENCES, REPETITIONS)
    found: dict[str, ByLength] = {}
    with torch.inference_mode():
        for sequences in all_sequences:
            run.say(f"{sequences} sequences")
            fresh = torch.randn(sequences, ROWS)
            logits = fresh.clone()
            batches = {
                (length, name): BudgetedBatch(config, prompt, sequences, length, name)
                for length in lengths
                for name in BUDGETS
            }
            taken: dict[str, dict[str, list[float]]] = {
                str(length): {name: [] for name in BUDGETS} for length in lengths
            }
            for _ in range(repetitions):
                for (length, name), batch in batches.items():
                    batch.step(logits, fresh)  # in an engine, the step before was one under the same budget
                    milliseconds = fmean(batch.step(logits, fresh) for _ in range(STEPS[name]))
                    taken[str(length)][name].append(milliseconds)
            found[str(sequences)] = taken
    return summarize(found)


def summarize(found: Mapping[str, ByLength]) -> Results:
    """By sequences and length: medians, and how many times less our cap costs. Last, costs at 32k over those at 1k."""
    steps = {
        sequences: {
            length: {
                **{name: round(median(figures[name]), 4) for name in figures},
                "times_less": _ratio(figures["vllm"], figures["cap"]).to_json(),
                "repetitions": len(figures["cap"]),
            }
            for length, figures in by_length.items()
        }
        for sequences, by_length in found.items()
    }
    most = found.get(MOST, {})
    growth = {name: _ratio(most[LONGEST][name], most[SHORT][name]).to_json() for name in ("cap", "floor") if most}
    return {"steps": steps, "growth": growth}


def _ratio(over: Sequence[float], under: Sequence[float]) -> Estimate:
    return Estimate.median([one / other for one, other in zip(over, under, strict=True)])


def report(results: Results) -> Report:
    steps = results["steps"]
    return Report(list(_targets(steps, results["growth"])), [_table(steps)], [_plot(steps)])


def _targets(steps: Results, growth: Results) -> Iterator[Target]:
    for name in ("cap", "floor"):
        claim = f"a {name} at {MOST} sequences costs at 32k tokens at most {FLAT} times what it costs at 1k"
        if found := growth.get(name):
            yield Target(claim, f"{Estimate(*found).show(2)} times", at_most(Estimate(*found), FLAT))
        else:
            yield Target(claim, "", Verdict.NOT_MEASURED)
    claim = f"a cap at {MOST} sequences of 16k tokens costs at least {TIMES_LESS} times less than vLLM's"
    if at_16k := steps.get(MOST, {}).get(LONG):
        less = Estimate(*at_16k["times_less"])
        yield Target(claim, f"{less.show(0)} times less", at_least(less, TIMES_LESS))
    else:
        yield Target(claim, "", Verdict.NOT_MEASURED)


def _table(steps: Results) -> Table:
    rows = [
        (
            *(sequences, f"{int(length):,}"),
            *(f"{found[name]:.3f}" for name in ("vllm", "cap")),
            Estimate(*found["times_less"]).show(0),
            f"{found['floor']:.3f}",
        )
        for sequences, by_length in steps.items()
        for length, found in by_length.items()
    ]
    return Table(
        "Milliseconds of a step in the processor alone: medians; how many times less our cap takes",
        ("sequences", "thinking tokens", "vLLM's cap", "our cap", "times less", "our floor"),
        rows,
    )


def _plot(steps: Results) -> Plot:
    return Plot(
        name="builtin_budget",
        title="A cap on thinking: the cost of a step in the processor",
        x="thinking tokens so far",
        y="milliseconds",
        curves={
            f"{label}, {sequences} sequence{'' if sequences == '1' else 's'}": [
                (float(length), Estimate(found[name])) for length, found in steps[sequences].items()
            ]
            for sequences in (next(iter(steps)), list(steps)[-1])
            for name, label in (("vllm", "vLLM"), ("cap", "Tenuto"))
        },
        log_x=True,
        log_y=True,
    )
