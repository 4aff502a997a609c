"""Against vLLM's own `thinking_token_budget`: what a step costs once there is much thinking behind it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean

from .benchmark import Plot, Results, Run, Section, Table, Target
from .child import in_child
from .spread import Spread

#: Milliseconds by length, by budget: one figure for each repetition.
ByLength = dict[str, dict[str, list[float]]]

LENGTHS = (1_024, 4_096, 16_384, 32_768)
SEQUENCES = (1, 8, 32, 64)
#: In the engine: how far so many sequences are followed.
ENDS: Mapping[int, int] = {1: 32_768, 8: 8_192, 64: 4_096}

FLAT = 1.25
TIMES_LESS = 500
MOST, LONG = "64", "16384"


def measure(run: Run) -> Results:
    arguments = (run.work, run.quick)
    return {
        "processor": in_child(measure_processors, *arguments, log=run.work / "processors.log", say=run.say),
        "engine": in_child(measure_engines, *arguments, log=run.work / "engines.log", say=run.say),
    }


def measure_processors(say: Callable[[str], None], work: Path, quick: bool) -> dict[str, ByLength]:
    """By the number of sequences. One figure is the mean of some steps in a row; budgets and lengths take turns."""
    import torch
    from vllm.tokenizers import cached_tokenizer_from_config

    from .model import ROWS, save_model
    from .persistent_batch import BUDGETS, BudgetedBatch, configuration

    config = configuration(save_model(work / "wide", hidden=64, layers=1))
    prompt = cached_tokenizer_from_config(config.model_config).encode("Why?\n<think>\n")
    lengths, repetitions, steps = (LENGTHS[:2], 2, 1) if quick else (LENGTHS, 11, 8)
    found: dict[str, ByLength] = {}
    with torch.inference_mode():
        for sequences in (1, 8) if quick else SEQUENCES:
            say(f"processors alone: {sequences} sequences")
            fresh = torch.randn(sequences, ROWS)
            logits = fresh.clone()
            batches = {
                (length, name): BudgetedBatch(config, prompt, sequences, length, name)
                for length in lengths
                for name in BUDGETS
            }
            taken: ByLength = {str(length): {name: [] for name in BUDGETS} for length in lengths}
            for _ in range(repetitions):
                for (length, name), batch in batches.items():
                    batch.step(logits, fresh)  # the step before, as in an engine, was one under the same budget
                    taken[str(length)][name].append(fmean(batch.step(logits, fresh) for _ in range(steps)))
            found[str(sequences)] = taken
    return found


def measure_engines(say: Callable[[str], None], work: Path, quick: bool) -> dict[str, ByLength]:
    """By the number of sequences. The engines take turns; one figure is the mean of so many steps before a length."""
    from .engines import CONTEXT, engines, save_long_model

    ends = {1: 128, 8: 128} if quick else ENDS
    chunk, chunks = (16, 2) if quick else (32, 8)
    shortest = 128 if quick else 256
    found: dict[str, ByLength] = {}
    room = max(CONTEXT, *(sequences * end for sequences, end in ends.items()))
    with engines(save_long_model(work / "long"), room) as started:
        for sequences, end in ends.items():
            lengths = [shortest << double for double in range((end // shortest).bit_length())]
            taken: ByLength = {}
            with ExitStack() as stack:
                running = {
                    name: stack.enter_context(engine.generating(sequences, end)) for name, engine in started.items()
                }
                for step in range(0, end, chunk):
                    names = list(running)
                    first = step // chunk % len(names)
                    means = {name: fmean(running[name](chunk)) for name in names[first:] + names[:first]}
                    reached = step + chunk
                    length = next(length for length in lengths if reached <= length)
                    if reached > length - chunks * chunk and step > 0:  # the very first chunk has the prefill in it
                        for name, mean in means.items():
                            taken.setdefault(str(length), {}).setdefault(name, []).append(mean)
                    if reached == length:
                        say(f"in the engine: {sequences} sequences have come to {length:,} tokens")
            found[str(sequences)] = taken
    return found


def section(results: Results) -> Section:
    alone: Mapping[str, ByLength] = results["processor"]
    whole: Mapping[str, ByLength] = results["engine"]
    return Section(
        title="Against vLLM's `thinking_token_budget`",
        text=TEXT,
        targets=[*_flat(alone.get(MOST, {})), _less(alone.get(MOST, {}).get(LONG))],
        tables=[_table_alone(alone), _table_whole(whole)],
        plots=[_plot_alone(alone), *(_plot_whole(sequences, found) for sequences, found in whole.items())],
    )


TEXT = """\
vLLM has a budget of its own, a cap: `thinking_token_budget`. Until it is reached, its V1 model runner looks in every
step for the end marker in all that a sequence has generated. Here is what that comes to, and what ours comes to.

*In the processor alone*: both have the same persistent batch and are called as the model runner calls them, in every
step one token later for each sequence, on float32 logits of 152,064 columns that have just been written. They take
turns, eight steps at a time. The cap is one that is not reached. Ours moves the probability of end-of-sequence to the
end marker in each step, and masks rows that no token stands behind; vLLM's does neither. The last column shows a floor
of ours, where every attempt to stop is turned into "Wait".

*In the engine*: three of them in one process, with one thread each, generate from the same random model and take
turns, 32 steps at a time: one without a budget, one with vLLM's, one with ours. The model is one thin layer with a
vocabulary of 576 tokens, so that it takes little of a step. Times are those of `LLMEngine.step`, means of 32 steps,
in the 256 steps before a length. The prompts open the thinking, and no sequence ends.

vLLM's V2 model runner, for GPUs, implements its budget otherwise; that is not measured here.
"""


def _flat(at_most: ByLength) -> list[Target]:
    short, long = str(LENGTHS[0]), str(LENGTHS[-1])
    targets = []
    for name, words in (("cap", "a cap"), ("floor", "a floor")):
        text = (
            f"flat in length: {words} at {MOST} sequences costs at 32k tokens at most {FLAT} times what it costs at 1k"
        )
        if short in at_most and long in at_most:
            ratio = Spread.of_ratios(at_most[long][name], at_most[short][name])
            targets.append(Target(text, f"{ratio.show(2)} times", ratio.median <= FLAT))
        else:
            targets.append(Target(text, "not measured", None))
    return targets


def _less(found: Mapping[str, Sequence[float]] | None) -> Target:
    text = f"at {MOST} sequences of 16k tokens a cap costs at least {TIMES_LESS} times less than vLLM's"
    if found is None:
        return Target(text, "not measured", None)
    ratio = Spread.of_ratios(found["vllm"], found["cap"])
    return Target(text, f"{ratio.show(0)} times less", ratio.median >= TIMES_LESS)


def _table_alone(alone: Mapping[str, ByLength]) -> Table:
    rows = []
    for sequences, by_length in alone.items():
        for length, found in by_length.items():
            vllm, cap, floor = (Spread.of(found[name]).show(3) for name in ("vllm", "cap", "floor"))
            ratio = Spread.of_ratios(found["vllm"], found["cap"]).show(1)
            rows.append((sequences, f"{int(length):,}", vllm, cap, ratio, floor))
    return Table(
        "Milliseconds of a step in the processor alone: median (lowest to highest) of the repetitions",
        ("sequences", "thinking tokens", "vLLM's cap", "our cap", "times less", "our floor"),
        rows,
    )


def _table_whole(whole: Mapping[str, ByLength]) -> Table:
    rows = []
    for sequences, by_length in whole.items():
        for length, found in by_length.items():
            none, vllm, ours = (Spread.of(found[name]).show(2) for name in ("none", "vllm", "ours"))
            added = (_added(found[name], found["none"]).show(2) for name in ("vllm", "ours"))
            rows.append((sequences, f"{int(length):,}", none, vllm, ours, *added))
    return Table(
        "Milliseconds of a step of the engine, and how much of them the budget adds: median (lowest to highest)",
        ("sequences", "thinking tokens", "no budget", "vLLM's", "ours", "vLLM's adds", "ours adds"),
        rows,
    )


def _added(with_budget: Sequence[float], without: Sequence[float]) -> Spread:
    return Spread.of(one - other for one, other in zip(with_budget, without, strict=True))


def _plot_alone(alone: Mapping[str, ByLength]) -> Plot:
    return Plot(
        name="builtin_budget",
        title="A cap on thinking: what a step costs in the processor alone",
        x="thinking tokens so far",
        y="milliseconds",
        curves={
            f"{words}, {sequences} sequences": _curve(by_length, name)
            for sequences, by_length in alone.items()
            if sequences in ("1", MOST) or len(alone) < len(SEQUENCES)
            for name, words in (("vllm", "vLLM"), ("cap", "Tenuto"))
        },
        log_x=True,
        log_y=True,
    )


def _plot_whole(sequences: str, by_length: ByLength) -> Plot:
    return Plot(
        name=f"builtin_budget_engine_{sequences}",
        title=f"A step of the engine over a long generation, sequences: {sequences}",
        x="thinking tokens so far",
        y="milliseconds",
        curves={
            words: _curve(by_length, name)
            for name, words in (("none", "no budget"), ("vllm", "vLLM's budget"), ("ours", "Tenuto's budget"))
        },
        log_x=True,
    )


def _curve(by_length: ByLength, name: str) -> list[tuple[float, Spread]]:
    return [(float(length), Spread.of(found[name])) for length, found in by_length.items()]
