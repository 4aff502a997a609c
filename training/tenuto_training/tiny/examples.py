"""Training examples: chats in which the model thinks, stops early or late, and answers; as token ids with labels."""

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
"""Share of the examples whose thinking is cut at a random token, as by a cap."""
NO_THINKING_SHARE = 0.02
"""Share of the examples that answer without thinking, as with a cap of 0."""
EARLIER_TURN_SHARE = 0.1
"""Share of the examples that follow an earlier question and its answer."""
SYSTEM_SHARE = 0.1
"""Share of the examples with a system message."""
SYSTEM = "You are a helpful assistant."
PHRASING_WEIGHTS = (6, 2, 2)

_TOTAL = re.compile(r"(?:=|is) (\d+)")


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids and their labels: the id itself if it is trained, otherwise `IGNORED`."""

    ids: list[int]
    labels: list[int]


def total_reached(thinking: str) -> int:
    """Return the last total in the thinking, which is the total that the answer gives; 0 if there is none yet."""
    totals = _TOTAL.findall(thinking)
    return int(totals[-1]) if totals else 0


class ExampleSource:
    """Draws examples with bills that are not held out. The same state of `rng` gives the same examples."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> None:
        self._tokenizer = tokenizer
        self._rng = rng
        self._bills = training_bills(rng)

    def draw(self) -> Example:
        """Draw a chat. Only the tokens of the last turn that the server would not force are trained."""
        bill = next(self._bills)
        chat = self._forced(self._earlier_chat() + turn("user", self._question(bill)) + ASSISTANT_OPENER)
        kind = self._rng.random()
        if kind < NO_THINKING_SHARE:
            return _join(chat, self._without_thinking())
        if kind < NO_THINKING_SHARE + CUT_SHARE:
            return _join(chat, self._cut(bill))
        return _join(chat, self._whole(bill))

    def _whole(self, bill: Bill) -> Example:
        """Return thinking that the model ends, and the answer."""
        thinking = self._thinking(bill)
        total = total_reached(self._text(thinking.ids))
        return _join(self._trained(THINK), thinking, self._trained(f"{ANSWER}\nAnswer: {total}{IM_END}\n"))

    def _cut(self, bill: Bill) -> Example:
        """Return thinking cut at a random token, the opener of the answer that s1 then forces, and the answer."""
        whole = self._thinking(bill)
        length = self._rng.randint(0, len(whole.ids))
        thinking = Example(whole.ids[:length], whole.labels[:length])
        text = self._text(thinking.ids)
        answer = self._trained(f" {total_reached(text)}{IM_END}\n")
        return _join(self._trained(THINK), thinking, self._forced(cap_suffix(text)), answer)

    def _without_thinking(self) -> Example:
        """Return an answer without thinking, whose total is 0."""
        return _join(self._forced(CAP_SUFFIX), self._trained(f" {total_reached('')}{IM_END}\n"))

    def _thinking(self, bill: Bill) -> Example:
        """Return what follows the start marker: the newline that the model writes first, and a trace."""
        parts = [self._trained("\n")]
        for piece in sample_trace(bill, self._rng):
            ids = self._ids(piece.text)
            parts.append(Example(ids, [IGNORED, *ids[1:]] if piece.forced else ids))
        return _join(*parts)

    def _earlier_chat(self) -> str:
        """Return a system message, an earlier question with its answer, both, or (mostly) nothing."""
        rng = self._rng
        system = turn("system", SYSTEM) if rng.random() < SYSTEM_SHARE else ""
        if rng.random() >= EARLIER_TURN_SHARE:
            return system
        bill = random_bill(rng)
        return system + turn("user", self._question(bill)) + turn("assistant", f"Answer: {bill.total}")

    def _question(self, bill: Bill) -> str:
        return bill.question(self._rng.choices(range(len(PHRASINGS)), PHRASING_WEIGHTS)[0])

    def _trained(self, text: str) -> Example:
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
