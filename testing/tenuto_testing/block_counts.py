"""How much thinking a reply contains, by its markers alone: without the automaton or the reference procedure."""

from collections.abc import Iterable
from dataclasses import dataclass

from .cases import Case
from .random_model import Ids


@dataclass(frozen=True, slots=True)
class Block:
    """One block of thinking.

    Attributes:
        most: its tokens, up to the end marker or the end of the reply.
        least: without tokens that may have been inserted to close it and are not counted: a newline before the end
            marker or the cap text (the reply's limit may have cut the rest), the beginning of an end marker that the
            limit has cut, and the beginning of one that the forced marker completed with its own, as A B and A B A.
    """

    least: int
    most: int


def blocks_in(case: Case, ids: Ids) -> list[Block]:
    """The blocks of thinking in a reply to the case."""
    form = case.family.form
    found: list[Block] = []
    inside, stretch = case.where == "thinking", list[int]()
    for at, token in enumerate(ids, 1):
        stretch.append(token)
        if not inside:
            if _ends_in(stretch, form.start):
                inside, stretch = True, []
            continue
        spelt = _ends_in(stretch, form.end)
        closing = len(form.end) if spelt else int(token in form.also_ends)
        if closing:
            block = _block(case, stretch[: len(stretch) - closing], (0, len(case.budget.cap_text)))
            found.append(Block(block.least, block.most + (_until_again(form.end, ids[at:]) if spelt else 0)))
            inside, stretch = False, []
    if inside:
        cut = next((size for size in range(len(form.end) - 1, 0, -1) if _ends_in(stretch, form.end[:size])), 0)
        block = _block(case, stretch[: len(stretch) - cut], range(len(case.budget.cap_text) + 1))
        found.append(Block(block.least, block.most + cut))
    return found


def respects_cap(case: Case, ids: Ids, reported: int) -> bool:
    """Whether the thinking is within the cap and agrees with the reported number."""
    blocks, cap = blocks_in(case, ids), case.budget.cap
    least, most = sum(block.least for block in blocks), sum(block.most for block in blocks)
    if not least <= reported <= most:
        return False
    if cap is None:
        return True
    return all(block.least <= cap for block in blocks) if case.budget.per_block else max(least, reported) <= cap


def _block(case: Case, thought: list[int], of_cap_text: Iterable[int]) -> Block:
    """A block from its tokens; `of_cap_text` lists how many tokens of the cap text may be at its end."""
    newline, cap_text = case.family.form.newline, case.budget.cap_text
    closed = bool(newline) and any(_ends_in(thought, (*newline, *cap_text[:size])) for size in of_cap_text)
    return Block(len(thought) - closed, len(thought))


def _until_again(marker: Ids, following: Ids) -> int:
    """After how many tokens the marker is complete once more, beginning within its own end; 0 if it is not."""
    for number in range(1, len(marker)):
        if marker[number:] == marker[:-number] and tuple(following[:number]) == tuple(marker[-number:]):
            return number
    return 0


def _ends_in(ids: list[int], tail: Ids) -> bool:
    return len(ids) >= len(tail) and tuple(ids[len(ids) - len(tail) :]) == tuple(tail)
