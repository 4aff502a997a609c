"""Random cases: marker families of every shape, and budgets of every kind."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tenuto_decoding import ThinkingMarkers

from .random_model import (
    CLOSE,
    END_OF_TEXT,
    END_OF_TURN,
    LEAD,
    OPEN,
    TOOL,
    TURN,
    Ids,
    Roles,
    ids_of,
    letters_of,
    roles,
    text_of,
)
from .reference import Format, Procedure, ReferenceBudget, Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The ids from which texts are drawn in one vocabulary.

    Attributes:
        plain: ids of ordinary text.
        newline, full_stop: two more of these, which end a line and a sentence.
        turn: the control token before a reply.
        text, ids: conversions from ids to text and back.
    """

    plain: Ids
    newline: int
    full_stop: int
    turn: int
    text: Callable[[Iterable[int]], str]
    ids: Callable[[str], Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One way to mark thinking.

    Attributes:
        markers: the format as the engine's processor takes it.
        form: the same for the reference procedure.
        wait, cap_text: the default texts of the markers, as ids.
    """

    name: str
    words: Words
    markers: ThinkingMarkers
    form: Format
    wait: Ids
    cap_text: Ids = ()

    @property
    def innocent(self) -> Ids:
        """Ordinary tokens that occur in no marker."""
        marked = {*self.form.start, *self.form.end}
        return tuple(token for token in (*self.words.plain, *self._ends) if token not in marked)

    @property
    def _ends(self) -> Ids:
        return self.words.newline, self.words.full_stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A prompt and a budget.

    Attributes:
        where: the phase in which the prompt ends.
        limit: the reply's `max_tokens`.
        fields: the budget as in `extra_args`.
        budget: the same budget as ids.
    """

    family: Family
    prompt: Ids
    where: Where
    limit: int
    fields: dict[str, Any]
    budget: ReferenceBudget

    def procedure(self) -> Procedure:
        return Procedure(self.family.form, self.budget, self.prompt, self.where, self.limit)


@cache
def families() -> dict[str, Family]:
    """Marker families of the small model, by name."""
    r = roles()
    lead, close, start = (r.special[text] for text in (LEAD, CLOSE, OPEN))
    think, answer, more = r.led

    def s1_like(name: str, end: Ids) -> Family:
        return _family(r, name, start=(lead, think), end=end, newline=True, prefix=(r.newline, *r.opener), opens=True)

    found = [
        s1_like("s1-like, one token", (close,)),
        s1_like("s1-like, two tokens", (lead, answer)),
        s1_like("s1-like, three tokens", (lead, answer, more)),
        _family(r, "think-like, one token", start=(start,), end=(close,), tool=True, cap_text=r.opener),
        _family(r, "think-like, two tokens", start=(start,), end=(close, more), tool=True),
        _family(r, "spelt, one token", start=(start,), end=(r.triple[2],)),
        _family(r, "spelt, two tokens", start=r.opener, end=r.pair, newline=True),
        _family(r, "spelt, three tokens", start=r.opener, end=r.triple, prefix=(r.newline,)),
        _family(r, "spelt, A A B", start=(start,), end=r.twice, newline=True, prefix=r.opener),
        _family(r, "spelt, A B A", start=r.opener, end=(*r.pair, r.pair[0]), opens=True),
    ]
    return {family.name: family for family in found}


def draw_cases(family: Family, number: int, seed: int) -> list[Case]:
    """`number` random cases, determined by the seed."""
    chance = random.Random(f"{family.name} {seed}")
    return [_draw_case(family, chance) for _ in range(number)]


def _family(
    r: Roles,
    name: str,
    *,
    start: Ids,
    end: Ids,
    newline: bool = False,
    prefix: Ids = (),
    opens: bool = False,
    tool: bool = False,
    cap_text: Ids = (),
) -> Family:
    control = set(r.special.values())
    stops = (r.special[END_OF_TURN], r.special[END_OF_TEXT])
    wait = tuple(token for token in letters_of(r) if token not in {*start, *end})[:1]
    words = Words(
        plain=letters_of(r),
        newline=r.newline,
        full_stop=r.full_stop,
        turn=r.special[TURN],
        text=text_of,
        ids=ids_of,
    )
    return Family(
        name=name,
        words=words,
        markers=ThinkingMarkers(
            family=name,
            start=text_of(start),
            end=text_of(end),
            also_ends=(TOOL,) if tool else (),
            stops=(END_OF_TEXT,),
            wait_text=(text_of(wait),),
            cap_text=text_of(cap_text),
            newline_before_end=newline,
            answer_prefix=text_of(prefix),
            force_start=opens,
        ),
        form=Format(
            start=start,
            end=end,
            spelt_start=start[0] not in control,
            spelt_end=end[0] not in control,
            stops=stops,
            also_ends=(r.special[TOOL],) if tool else (),
            finish=(r.special[END_OF_TURN],),
            newline=(r.newline,) if newline else (),
            line_ends=frozenset((r.newline,)),
            landings=frozenset((r.newline, r.full_stop)),
            prefix=prefix,
            opens=opens,
            unknown=r.unknown,
        ),
        wait=wait,
        cap_text=cap_text,
    )


def _draw_case(family: Family, chance: random.Random) -> Case:
    prompt, where = _draw_prompt(family, chance)
    fields, budget = _draw_budget(family, chance)
    return Case(family=family, prompt=prompt, where=where, limit=chance.randint(20, 110), fields=fields, budget=budget)


def _draw_prompt(family: Family, chance: random.Random) -> tuple[Ids, Where]:
    """Some text, the token between turns, and then one of: nothing, open thinking, thinking in progress, an answer.

    Thinking in progress may end in the first ids of an end marker. These do not count: the reply did not write them.
    """
    start, end = family.form.start, family.form.end
    text = (*chance.choices(family.words.plain, k=chance.randint(1, 8)), family.words.turn)
    thought = chance.choices(family.innocent, k=chance.randint(1, 4))
    kind = chance.choices(("before", "thinking", "gone on", "answer"), (4, 4, 1, 1))[0]
    if kind == "before":
        return text, "before"
    if kind == "thinking":
        return text + start, "thinking"
    if kind == "gone on":
        return (*text, *start, *thought, *(end[:-1] if family.form.spelt_end else ())), "thinking"
    return (*text, *start, *thought, *end), "answer"


def _draw_budget(family: Family, chance: random.Random) -> tuple[dict[str, Any], ReferenceBudget]:
    cap = chance.choice((None, 0, 1, 2, chance.randint(3, 9), chance.randint(3, 9), chance.randint(10, 30), 60))
    floor = min(chance.choice((0, 0, 0, chance.randint(1, 8), chance.randint(9, 50))), 50 if cap is None else cap)
    waits = chance.choice((0, 0, 1, 2, 3, 4, 5, 6))
    landing = 0 if cap is None or chance.random() < 0.7 else chance.randint(1, 2 * cap + 1)
    per_block = chance.random() < 0.25
    texts = _draw_waits(family, chance)
    cap_text = _draw_text(family, chance, chance.randint(0, 6)) if chance.random() < 0.4 else None
    fields: dict[str, Any] = {
        "max_thinking_tokens": cap,
        "min_thinking_tokens": floor,
        "num_waits": waits,
        "landing_tokens": landing,
        "scope": "block" if per_block else "response",
        "wait_text": None if texts is None else _wire(family.words, texts, chance),
        "cap_text": None if cap_text is None else family.words.text(cap_text),
    }
    budget = ReferenceBudget(
        cap=cap,
        floor=floor,
        waits=waits,
        texts=(family.wait,) if texts is None else texts,
        cap_text=family.cap_text if cap_text is None else cap_text,
        landing=landing,
        per_block=per_block,
    )
    return fields, budget


def _draw_waits(family: Family, chance: random.Random) -> tuple[Ids, ...] | None:
    """Wait texts to use in turn; None for the family's default."""
    kind = chance.choices(("the family's", "one token", "several", "none", "list"), (2, 2, 4, 1, 2))[0]
    if kind == "the family's":
        return None
    if kind == "list":
        return tuple(_draw_text(family, chance, chance.randint(0, 3)) for _ in range(chance.randint(2, 3)))
    length = {"one token": 1, "several": chance.randint(2, 5), "none": 0}[kind]
    return (_draw_text(family, chance, length),)


def _wire(words: Words, texts: Sequence[Ids], chance: random.Random) -> str | list[str]:
    """A single text is sent as a string or as a list of one."""
    written = [words.text(text) for text in texts]
    return written[0] if len(written) == 1 and chance.random() < 0.7 else written


def _draw_text(family: Family, chance: random.Random, length: int) -> Ids:
    """Ordinary tokens, sometimes with the beginning of a spelt end marker, but none that could complete one."""
    while True:
        tokens = chance.choices(family.innocent, k=length)
        if family.form.spelt_end and len(family.form.end) > 1 and length > 1 and chance.random() < 0.3:
            tokens[-1] = family.form.end[0]
        if (
            list(family.words.ids(family.words.text(tokens))) == tokens
        ):  # otherwise the tokenizer would merge some of them
            return tuple(tokens)
