"""Test-time scaling of `s1-tiny`: accuracy against the number of waits, and against the cap."""

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
class Row:
    """One setting: how many waits, or which cap; `thinking_tokens` is the mean over the problems."""

    setting: int
    accuracy: float
    thinking_tokens: float


@dataclass(frozen=True, slots=True)
class Scaling:
    """Both tables. The caps are applied to thinking with as many waits as the last row of `waits`."""

    waits: tuple[Row, ...]
    caps: tuple[Row, ...]

    @property
    def best(self) -> Row:
        """The first of the rows with the highest accuracy."""
        return max(self.waits, key=lambda row: row.accuracy)


def evaluate(resumer: Resumer, bills: Sequence[Bill]) -> Scaling:
    """Greedy answers to every bill at every setting."""
    prompts = [prompt(bill.question(), system=None) for bill in bills]
    rounds = resumer.think(prompts, max(WAITS))

    def row(setting: int, thinking: Sequence[Thinking]) -> Row:
        answers = resumer.answer(prompts, thinking)
        right = [extract(answer) == bill.total for answer, bill in zip(answers, bills, strict=True)]
        return Row(setting, fmean(right), fmean(len(one.ids) for one in thinking))

    return Scaling(
        waits=tuple(row(waits, rounds[waits]) for waits in WAITS),
        caps=tuple(row(cap, [one.capped(cap) for one in rounds[-1]]) for cap in CAPS),
    )


def extract(answer: str) -> int | None:
    """The number behind the last "Answer:" (of the model's own answer or of a forced "Final Answer:")."""
    found = _ANSWER.findall(answer)
    return int(found[-1]) if found else None


def shortfalls(scaling: Scaling) -> list[str]:
    """What the built-in model promises and these figures do not show; empty when all is well."""
    first, best = scaling.waits[0].accuracy, scaling.best.accuracy
    climb = [row.accuracy for row in scaling.waits[: scaling.waits.index(scaling.best) + 1]]
    caps = [row.accuracy for row in scaling.caps]
    checks = {
        f"accuracy without waits is {first:.3f}, above 0.40": first > 0.40,
        f"best accuracy is {best:.3f}, below 0.75": best < 0.75,
        f"waits add {best - first:.3f} to the accuracy, less than 0.35": best - first < 0.35,
        f"accuracy does not rise at each step up to the best: {climb}": sorted(set(climb)) != climb,
        f"accuracy at the smallest cap is {caps[0]:.3f}, above 0.05": caps[0] > 0.05,
        f"accuracy falls as the cap grows: {caps}": sorted(caps) != caps,
        f"the largest cap reaches {caps[-1]:.3f}, not the {best:.3f} of enough waits": caps[-1] < best - 0.02,
    }
    return [text for text, wrong in checks.items() if wrong]
