"""Training examples as token ids with labels, and batches of them."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from tenuto_training.formats import ANSWER, ASSISTANT_OPENER, IM_END, THINK, USER_OPENER, cap_suffix, turn
from tenuto_training.masking import IGNORED, completion_labels
from tenuto_training.tiny.task import PHRASINGS, Bill, random_bill, training_bills
from tenuto_training.tiny.traces import sample_trace

CUT_SHARE = 0.25
"""Share of the examples whose thinking is cut at a random token, as a cap does."""
EARLIER_TURN_SHARE = 0.1
"""Share of the examples that follow an earlier question and its answer."""
SYSTEM_SHARE = 0.1
"""Share of the examples with a system message."""
SYSTEM = "You are a helpful assistant."
PHRASING_WEIGHTS = (6, 2, 2)

TOTAL = re.compile(r"(?:=|is) (\d+)")


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids and, for each, its label: the id itself where it is trained, `IGNORED` elsewhere."""

    ids: list[int]
    labels: list[int]


class ExampleSource:
    """Draws examples of held-in bills; the same generator state gives the same examples."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> None:
        self._tokenizer = tokenizer
        self._rng = rng
        self._bills = training_bills(rng)
        self._instruction = self._ids(USER_OPENER)
        self._response = self._ids(ASSISTANT_OPENER)

    def example(self) -> Example:
        """One example: a chat whose last turn thinks, stops somewhere and answers with the total reached."""
        bill = next(self._bills)
        cut = self._rng.random() < CUT_SHARE
        chat = self._ids(self._chat(bill))
        thinking, forced = self._thinking(bill)
        if cut:
            thinking = thinking[: self._rng.randint(0, len(thinking))]
        text = self._tokenizer.decode(thinking)
        totals = TOTAL.findall(text)
        total = totals[-1] if totals else "0"
        start = len(chat)
        ids = [*chat, *self._ids(f"{THINK}\n"), *thinking]
        opener = self._ids(cap_suffix(text)) if cut else []
        forced_positions = {start + 3 + position for position in forced}
        forced_positions |= set(range(len(ids), len(ids) + len(opener)))
        ids += opener
        ids += self._ids(f" {total}{IM_END}\n" if cut else f"{ANSWER}\nAnswer: {total}{IM_END}\n")
        labels = completion_labels(ids, self._instruction, self._response)
        # Of the chat, only the last turn is trained.
        labels = [
            IGNORED if position < start or position in forced_positions else label
            for position, label in enumerate(labels)
        ]
        return Example(ids, labels)

    def _thinking(self, bill: Bill) -> tuple[list[int], set[int]]:
        """Token ids of a trace, and the positions in it that were forced."""
        ids: list[int] = []
        forced: set[int] = set()
        for piece in sample_trace(bill, self._rng).pieces:
            if piece.forced:
                forced.add(len(ids))
            ids += self._ids(piece.text)
        return ids, forced

    def _chat(self, bill: Bill) -> str:
        """The chat before the model's turn: now and then with a system message or an earlier question."""
        rng = self._rng
        system = turn("system", SYSTEM) if rng.random() < SYSTEM_SHARE else ""
        earlier = ""
        if rng.random() < EARLIER_TURN_SHARE:
            other = random_bill(rng)
            earlier = turn("user", self._question(other)) + turn("assistant", f"Answer: {other.total}")
        return system + earlier + turn("user", self._question(bill)) + ASSISTANT_OPENER

    def _question(self, bill: Bill) -> str:
        return bill.question(self._rng.choices(range(len(PHRASINGS)), PHRASING_WEIGHTS)[0])

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded examples; all three have the shape (examples, longest)."""

    ids: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor


def collate(examples: list[Example], pad: int) -> Batch:
    """Examples of different lengths as one batch; padding is masked and not trained."""
    width = max(len(example.ids) for example in examples)
    ids = torch.tensor([example.ids + [pad] * (width - len(example.ids)) for example in examples])
    labels = torch.tensor([example.labels + [IGNORED] * (width - len(example.labels)) for example in examples])
    lengths = torch.tensor([[len(example.ids)] for example in examples])
    return Batch(ids, (torch.arange(width) < lengths).long(), labels)


def batches(source: ExampleSource, rng: random.Random, size: int, pad: int, pool: int = 16) -> Iterator[Batch]:
    """Endless batches of `size` examples of similar lengths: a pool is sorted by length, then dealt in random order."""
    while True:
        examples = sorted((source.example() for _ in range(size * pool)), key=lambda example: len(example.ids))
        groups = [examples[start : start + size] for start in range(0, len(examples), size)]
        rng.shuffle(groups)
        for group in groups:
            yield collate(group, pad)
