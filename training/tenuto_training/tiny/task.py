"""The task of `s1-tiny`: adding up a bill, one item at a time."""

import hashlib
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass

GOODS = (
    *("tea", "coffee", "milk", "juice", "water", "soup", "bread", "butter", "cheese", "eggs", "ham", "fish"),
    *("rice", "pasta", "beans", "salad", "apples", "pears", "plums", "cake", "pie", "jam", "honey", "nuts"),
)
MAX_ITEMS = 15
MAX_PRICE = 9
CHUNK = 3
"""Number of items that the model adds before it may stop."""

INVENTED_SHARE = 0.25
"""Share of the training bills with invented goods."""

HELD_OUT_SHARE = 10
"""One bill in this many is held out for evaluation."""
HELD_OUT_SEED = 2501_19393

PHRASINGS = (
    ("Add up this bill: {}", ", "),
    ("How much is {}?", ", "),
    ("What is the total of {}?", " and "),
)


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a bill."""

    name: str
    price: int

    def __str__(self) -> str:
        return f"{self.name} {self.price}"


@dataclass(frozen=True, slots=True)
class Bill:
    """Goods, all different, with their prices."""

    items: tuple[Item, ...]

    def question(self, phrasing: int = 0) -> str:
        text, separator = PHRASINGS[phrasing]
        return text.format(separator.join(map(str, self.items)))

    @property
    def total(self) -> int:
        return sum(item.price for item in self.items)

    @property
    def held_out(self) -> bool:
        """Whether the bill is held out for evaluation. It depends on the bill alone, so no run trains on it."""
        digest = hashlib.sha256(self.question().encode()).digest()
        return int.from_bytes(digest[:8], "big") % HELD_OUT_SHARE == 0


def random_bill(rng: random.Random, shortest: int = 1, invented: float = 0.0) -> Bill:
    """Draw a bill, held out or not; each length from `shortest` to `MAX_ITEMS` is equally likely.

    `invented` is the share of names that consist of random letters.
    """
    names = rng.sample(GOODS, rng.randint(shortest, MAX_ITEMS))
    names = [_invented_name(rng) if rng.random() < invented else name for name in names]
    return Bill(tuple(Item(name, rng.randint(1, MAX_PRICE)) for name in names))


def _invented_name(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 7)))


def training_bills(rng: random.Random) -> Iterator[Bill]:
    """Yield bills without end, none of them held out. Some have invented goods, so that the model can copy any name."""
    while True:
        invented = rng.random() if rng.random() < INVENTED_SHARE else 0.0
        bill = random_bill(rng, invented=invented)
        if not bill.held_out:
            yield bill


def held_out_bills(count: int) -> list[Bill]:
    """Return the first `count` distinct bills of the evaluation set, each at least one chunk long; always the same."""
    rng = random.Random(HELD_OUT_SEED)
    bills: dict[Bill, None] = {}
    while len(bills) < count:
        bill = random_bill(rng, shortest=CHUNK)
        if bill.held_out:
            bills[bill] = None
    return list(bills)
