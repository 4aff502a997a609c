"""Training examples: chats in which the model thinks, stops somewhere and answers, as token ids with labels."""

import random
import re
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from tenuto_training.formats import (
    ANSWER,
    ASSISTANT_OPENER,
    CAP_SUFFIX,
    IM_END,
    THINK,
    cap_suffix,
    turn,
)
from tenuto_training.masking import IGNORED
from tenuto_training.tiny.task import PHRASINGS, Bill, random_bill, training_bills
from tenuto_training.tiny.traces import sample_trace

CUT_SHARE = 0.25
"""Share of the examples whose thinking is cut at a random token, as a cap does."""
NO_THINKING_SHARE = 0.02
"""Share of the examples that answer without any thinking, as a cap of 0 asks for."""
EARLIER_TURN_SHARE = 0.1
"""Share of the examples that follow an earlier question and its answer."""
SYSTEM_SHARE = 0.1
"""Share of the examples with a system message."""
SYSTEM = "You are a helpful assistant."
PHRASING_WEIGHTS = (6, 2, 2)

_TOTAL = re.compile(r"(?:=|is) (\d+)")


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids and, for each, its label: the id itself where it is trained, `IGNORED` elsewhere."""

    ids: list[int]
    labels: list[int]


def total_reached(thinking: str) -> int:
    """The last total that was written: what an honest answer gives. Nothing is added up yet: 0."""
    totals = _TOTAL.findall(thinking)
    return int(totals[-1]) if totals else 0


class ExampleSource:
    """Draws examples of bills that are not held out; the same generator state gives the same examples."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> None:
        self._tokenizer = tokenizer
        self._rng = rng
        self._bills = training_bills(rng)

    def draw(self) -> Example:
        """A chat, of which only the last turn is trained, and of that only what nobody would have forced."""
        bill = next(self._bills)
        chat = self._forced(self._earlier_chat() + turn("user", self._question(bill)) + ASSISTANT_OPENER)
        kind = self._rng.random()
        if kind < NO_THINKING_SHARE:
            return _join(chat, self._unthinking())
        if kind < NO_THINKING_SHARE + CUT_SHARE:
            return _join(chat, self._cut(bill))
        return _join(chat, self._whole(bill))

    def _whole(self, bill: Bill) -> Example:
        """Thinking that ends by the model's will, and the answer."""
        thinking = self._thinking(bill)
        total = total_reached(self._text(thinking.ids))
        return _join(self._own(THINK), thinking, self._own(f"{ANSWER}\nAnswer: {total}{IM_END}\n"))

    def _cut(self, bill: Bill) -> Example:
        """Thinking cut at any token, the opener of the answer that s1 forces then, and the answer."""
        whole = self._thinking(bill)
        length = self._rng.randint(0, len(whole.ids))
        thinking = Example(whole.ids[:length], whole.labels[:length])
        text = self._text(thinking.ids)
        answer = self._own(f" {total_reached(text)}{IM_END}\n")
        return _join(self._own(THINK), thinking, self._forced(cap_suffix(text)), answer)

    def _unthinking(self) -> Example:
        """An answer without thinking: nothing is added up."""
        return _join(self._forced(CAP_SUFFIX), self._own(f" {total_reached('')}{IM_END}\n"))

    def _thinking(self, bill: Bill) -> Example:
        """What stands behind the start marker: the newline that the model writes first, and a trace."""
        parts = [self._own("\n")]
        for piece in sample_trace(bill, self._rng):
            ids = self._ids(piece.text)
            parts.append(Example(ids, [IGNORED, *ids[1:]] if piece.forced else ids))
        return _join(*parts)

    def _earlier_chat(self) -> str:
        """Now and then a system message, or an earlier question with its answer."""
        rng = self._rng
        system = turn("system", SYSTEM) if rng.random() < SYSTEM_SHARE else ""
        if rng.random() >= EARLIER_TURN_SHARE:
            return system
        bill = random_bill(rng)
        return system + turn("user", self._question(bill)) + turn("assistant", f"Answer: {bill.total}")

    def _question(self, bill: Bill) -> str:
        return bill.question(self._rng.choices(range(len(PHRASINGS)), PHRASING_WEIGHTS)[0])

    def _own(self, text: str) -> Example:
        ids = self._ids(text)
        return Example(ids, ids)

    def _forced(self, text: str) -> Example:
        ids = self._ids(text)
        return Example(ids, [IGNORED] * len(ids))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _text(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids)
        return text


def _join(*parts: Example) -> Example:
    return Example([i for part in parts for i in part.ids], [label for part in parts for label in part.labels])
