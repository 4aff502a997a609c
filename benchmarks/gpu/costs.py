"""What a step costs in each state and size, and whether the targets are reached."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch

from benchmarks.spread import Spread

from .steps import STATES, Copy, Requests, Scale
from .timing import device_time, host_time

#: Target: at most that many microseconds on the device for a batch of that size, when nothing is forced.
MOST, BATCH = 30.0, 256
#: The states with that target. `suppress` has none: it reads whole rows.
UNFORCED = ("idle", "redirect", "watch")
#: A step counts as slower with a longer history if it takes a tenth and a microsecond more.
GROWTH, NOISE = 1.1, 1.0


@dataclass(frozen=True)
class Cost:
    """The time of one step, in microseconds."""

    state: str
    batch: int
    drafts: int
    history: int
    device: Spread
    host: Spread


@dataclass(frozen=True)
class CopyCost:
    """The time to copy `rows` rows to float32, in microseconds."""

    rows: int
    device: Spread


@dataclass(frozen=True)
class Verdict:
    """Whether a target is reached; None if it was not measured."""

    target: str
    found: str
    reached: bool | None

    def __str__(self) -> str:
        word = {True: "reached", False: "NOT REACHED", None: "not measured"}[self.reached]
        return f"{self.target}: {word}" + (f" ({self.found})" if self.found else "")


def measure(scale: Scale, device: torch.device) -> Iterator[Cost]:
    """Measure every combination of state and sizes.

    Raises:
        RuntimeError: if the requests did not stay in their state.
    """
    for state, batch, drafts, history in product(STATES, scale.batches, scale.drafts, scale.histories):
        requests = Requests(state, batch, drafts, history, scale, device)
        alone = device_time(requests.commit, device, scale.repetitions).median
        on_device = device_time(requests.step, device, scale.repetitions).beyond(alone)
        on_host = host_time(requests.apply, device, scale.repetitions)
        requests.check()
        yield Cost(state, batch, drafts, history, on_device, on_host)
        del requests  # the next ones need the memory


def measure_copies(scale: Scale, device: torch.device) -> Iterator[CopyCost]:
    for rows in scale.row_counts:
        yield CopyCost(rows, device_time(Copy(rows, scale, device).step, device, scale.repetitions))


def judge(costs: list[Cost], device: torch.device) -> Iterator[Verdict]:
    """The verdict on each target. Times under the interpreter count as not measured."""
    measured = costs if device.type == "cuda" else []
    for drafts in sorted({cost.drafts for cost in costs}):
        target = f"at most {MOST:.0f} us a step at batch {BATCH} with {drafts} drafts when nothing is forced"
        medians = [
            cost.device.median
            for cost in measured
            if (cost.batch, cost.drafts) == (BATCH, drafts) and cost.state in UNFORCED
        ]
        found = f"at most {max(medians):.1f} us" if medians else ""
        yield Verdict(target, found, max(medians) <= MOST if medians else None)
    yield _growth(measured)


def _growth(costs: list[Cost]) -> Verdict:
    target = "no growth with the history's length"
    medians: dict[tuple[str, int, int], dict[int, float]] = {}
    for cost in costs:
        medians.setdefault((cost.state, cost.batch, cost.drafts), {})[cost.history] = cost.device.median
    if not medians:
        return Verdict(target, "", None)
    grown = {size: by[max(by)] - (GROWTH * by[min(by)] + NOISE) for size, by in medians.items()}
    worst = max(grown, key=lambda size: grown[size])
    (state, batch, drafts), by = worst, medians[worst]
    found = (
        f"most with {state}, batch {batch}, {drafts} drafts: {by[min(by)]:.1f} us after {min(by):,} tokens, "
        f"{by[max(by)]:.1f} us after {max(by):,}"
    )
    return Verdict(target, found, grown[worst] <= 0)


def table(costs: list[Cost], copies: list[CopyCost]) -> Iterator[str]:
    """A Markdown table with a line per state, batch and number of drafts: median, lowest and highest microseconds."""
    copied = {copy.rows: copy.device for copy in copies}
    histories = [f"device, {size:,} tokens" for size in sorted({cost.history for cost in costs})]
    columns = ["state", "batch", "drafts", *histories, "host", "copy to float32"]
    yield f"| {' | '.join(columns)} |"
    yield "| --- " * len(columns) + "|"
    for state, batch, drafts in dict.fromkeys((cost.state, cost.batch, cost.drafts) for cost in costs):
        here = [cost for cost in costs if (cost.state, cost.batch, cost.drafts) == (state, batch, drafts)]
        here.sort(key=lambda cost: cost.history)
        cells = [state, batch, drafts, *(cost.device for cost in here), here[-1].host, copied[batch * (1 + drafts)]]
        yield f"| {' | '.join(map(str, cells))} |"
