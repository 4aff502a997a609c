"""How much thinking a reply holds, by its markers alone: without the automaton, and without the procedure."""

from dataclasses import dataclass

from .cases import Case
from .random_model import Ids


@dataclass(frozen=True, slots=True)
class Block:
    """One block of thinking.

    Attributes:
        most: its tokens, up to the end marker or the end of the reply.
        least: without what may have been put there to close it and is not counted: a newline before the end marker or
            the cap text, and the beginning of an end marker that the reply's limit has cut.
    """

    least: int
    most: int


def blocks_of(case: Case, ids: Ids) -> list[Block]:
    """The blocks of thinking in a reply to the case."""
    form = case.family.form
    found: list[Block] = []
    inside, stretch = case.where == "thinking", list[int]()
    for token in ids:
        stretch.append(token)
        if not inside:
            if _ends_in(stretch, form.start):
                inside, stretch = True, []
            continue
        closing = len(form.end) if _ends_in(stretch, form.end) else int(token in form.also_ends)
        if closing:
            found.append(_block(case, stretch[: len(stretch) - closing]))
            inside, stretch = False, []
    if inside:
        cut = next((size for size in range(len(form.end) - 1, 0, -1) if _ends_in(stretch, form.end[:size])), 0)
        block = _block(case, stretch[: len(stretch) - cut])
        found.append(Block(block.least, block.most + cut))
    return found


def keeps_its_cap(case: Case, ids: Ids, told: int) -> bool:
    """Whether the thinking is within the cap, and as much as was told."""
    blocks, cap = blocks_of(case, ids), case.wish.cap
    least, most = sum(block.least for block in blocks), sum(block.most for block in blocks)
    if not least <= told <= most:
        return False
    if cap is None:
        return True
    return all(block.least <= cap for block in blocks) if case.wish.per_block else max(least, told) <= cap


def _block(case: Case, thought: list[int]) -> Block:
    form, cap_text = case.family.form, case.wish.cap_text
    text = thought[: len(thought) - len(cap_text)] if cap_text and _ends_in(thought, cap_text) else thought
    closed = bool(form.newline) and (_ends_in(text, form.newline) or _ends_in(thought, form.newline))
    return Block(len(thought) - closed, len(thought))


def _ends_in(ids: list[int], tail: Ids) -> bool:
    return len(ids) >= len(tail) and tuple(ids[len(ids) - len(tail) :]) == tuple(tail)
