"""Measures the test-time scaling of `s1-tiny`: accuracy by number of waits, and by cap."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from tenuto_training.formats import prompt
from tenuto_training.tiny.resuming import Resumer, Thinking
from tenuto_training.tiny.task import Bill

WAITS = (0, 1, 2, 3, 4, 6)
CAPS = (0, 16, 32, 64, 96, 128, 160, 192, 256, 320)

_ANSWER = re.compile(r"Answer:\s*(\d+)")


@dataclass(frozen=True, slots=True)
class ScalingRow:
    """One setting, a number of waits or a cap. `thinking_tokens` is the mean over the problems."""

    setting: int
    accuracy: float
    thinking_tokens: float


@dataclass(frozen=True, slots=True)
class Scaling:
    """Both tables. The caps are applied to the thinking of the last row of `waits`."""

    waits: tuple[ScalingRow, ...]
    caps: tuple[ScalingRow, ...]

    @property
    def best(self) -> ScalingRow:
        """The row with the highest accuracy; of several, the first."""
        return max(self.waits, key=lambda row: row.accuracy)


def measure_scaling(resumer: Resumer, bills: Sequence[Bill]) -> Scaling:
    """Answer every bill at every setting with greedy decoding."""
    prompts = [prompt(bill.question(), system=None) for bill in bills]
    rounds = resumer.think(prompts, max(WAITS))

    def row(setting: int, thinking: Sequence[Thinking]) -> ScalingRow:
        answers = resumer.answer(prompts, thinking)
        correct = [extract_total(answer) == bill.total for answer, bill in zip(answers, bills, strict=True)]
        return ScalingRow(setting, fmean(correct), fmean(len(one.ids) for one in thinking))

    return Scaling(
        waits=tuple(row(waits, rounds[waits]) for waits in WAITS),
        caps=tuple(row(cap, [one.capped(cap) for one in rounds[-1]]) for cap in CAPS),
    )


def extract_total(answer: str) -> int | None:
    """Return the number after the last "Answer:", which may be part of a forced "Final Answer:"."""
    totals = _ANSWER.findall(answer)
    return int(totals[-1]) if totals else None


def missed_targets(scaling: Scaling) -> list[str]:
    """Return a message for each target of the built-in model that these tables miss."""
    first, best = scaling.waits[0].accuracy, scaling.best.accuracy
    rise = [row.accuracy for row in scaling.waits[: scaling.waits.index(scaling.best) + 1]]
    caps = [row.accuracy for row in scaling.caps]
    checks = {
        f"accuracy without waits is {first:.3f}, above 0.40": first > 0.40,
        f"best accuracy is {best:.3f}, below 0.75": best < 0.75,
        f"waits add {best - first:.3f} to the accuracy, less than 0.35": best - first < 0.35,
        f"accuracy does not rise at each step up to the best: {rise}": sorted(set(rise)) != rise,
        f"accuracy at the smallest cap is {caps[0]:.3f}, above 0.05": caps[0] > 0.05,
        f"accuracy falls as the cap grows: {caps}": sorted(caps) != caps,
        f"the largest cap reaches {caps[-1]:.3f}, not the {best:.3f} of the best number of waits": caps[-1]
        < best - 0.02,
    }
    return [text for text, missed in checks.items() if missed]
