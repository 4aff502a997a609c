"""The task of `s1-tiny`: add up a bill, one item at a time."""

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
"""Items that the model adds before it feels like stopping."""

INVENTED_SHARE = 0.25
"""Share of the training bills with invented goods in them."""

HELD_OUT_SHARE = 10
"""One bill in so many is kept for evaluation."""
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
    """Different goods with their prices."""

    items: tuple[Item, ...]

    def question(self, phrasing: int = 0) -> str:
        text, separator = PHRASINGS[phrasing]
        return text.format(separator.join(map(str, self.items)))

    @property
    def total(self) -> int:
        return sum(item.price for item in self.items)

    @property
    def held_out(self) -> bool:
        """Whether the bill is kept for evaluation: a property of the bill alone, so no run can train on it."""
        digest = hashlib.sha256(self.question().encode()).digest()
        return int.from_bytes(digest[:8], "big") % HELD_OUT_SHARE == 0


def random_bill(rng: random.Random, shortest: int = 1, invented: float = 0.0) -> Bill:
    """A bill, held out or not, with each length from `shortest` to `MAX_ITEMS` equally likely.

    `invented` is the share of names that are made up of random letters.
    """
    names = rng.sample(GOODS, rng.randint(shortest, MAX_ITEMS))
    names = [_invented_name(rng) if rng.random() < invented else name for name in names]
    return Bill(tuple(Item(name, rng.randint(1, MAX_PRICE)) for name in names))


def _invented_name(rng: random.Random) -> str:
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 7)))


def training_bills(rng: random.Random) -> Iterator[Bill]:
    """Endless bills, none of them held out; some name goods that nobody sells, so that any name can be copied."""
    while True:
        invented = rng.random() if rng.random() < INVENTED_SHARE else 0.0
        bill = random_bill(rng, invented=invented)
        if not bill.held_out:
            yield bill


def held_out_bills(count: int) -> list[Bill]:
    """The first `count` distinct bills of the evaluation set, at least one chunk long; the same in every run."""
    rng = random.Random(HELD_OUT_SEED)
    found: dict[Bill, None] = {}
    while len(found) < count:
        bill = random_bill(rng, shortest=CHUNK)
        if bill.held_out:
            found[bill] = None
    return list(found)
