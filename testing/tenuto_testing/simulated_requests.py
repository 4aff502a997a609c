"""Random requests for the simulated engine, with plans of the shapes that families have.

Needs only the standard library and `tenuto_decoding`, so that a GPU machine can check itself with the same requests.
"""

from dataclasses import dataclass, replace
from random import Random

from tenuto_decoding import Marker, Pattern, ThinkingPlan
from tenuto_decoding.gpu.layout import mark_tokens

VOCABULARY = 40
EOS, EOT, NEWLINE, STOP, TOOL, TURN, OPEN, CLOSE, LEAD = range(9)
MARKER_WORDS = (9, 10, 11)
WAIT_WORDS = (12, 13, 14)
TEXT = (15, 16, 17, 18, 19)
UNKNOWN = (30, 38, 39)
LINE_ENDS, LANDINGS, BOUNDARIES = frozenset({NEWLINE, 19}), frozenset({NEWLINE, STOP, 19}), frozenset({TURN, LEAD, EOT})
MARKS = mark_tokens(VOCABULARY, line_ends=LINE_ENDS, landings=LANDINGS, boundaries=BOUNDARIES, unknown=UNKNOWN)

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRequest:
    """One request.

    Attributes:
        plan: None for a request without a budget.
        prompt: its ids.
        temperature: 0 for greedy.
        structured: whether a grammar rules out random tokens.
        length: tokens of the reply.
        loop: tokens that the model repeats without end; empty for none.
    """

    plan: ThinkingPlan | None
    prompt: Ids
    temperature: float
    structured: bool
    length: int
    loop: Ids = ()


def draw_request(chance: Random) -> SimulatedRequest:
    plan = draw_plan(chance) if chance.randrange(6) else None
    if plan is not None and plan.landing_tokens == 0:
        plan = replace(plan, landings=frozenset())  # as compiled
    start, end = (plan.start.ids, plan.end.ids) if plan else ((OPEN,), (CLOSE,))
    pieces = (
        (15,),
        (16, 17),
        start,
        (*start, NEWLINE),
        end,
        start[:-1],
        end[:-1],
        (TURN,),
        (EOT,),
        (NEWLINE,),
        (18,) * 40,
    )
    prompt = tuple(token for _ in range(chance.randrange(7)) for token in chance.choice(pieces))
    return SimulatedRequest(
        plan=plan,
        prompt=prompt or (TURN,),
        temperature=chance.choice((0.0, 0.0, 0.3, 0.7, 1.0, 1.5)),
        structured=chance.randrange(4) == 0,
        length=chance.randint(1, 45),
        loop=chance.choice(((), (), (), (15,), (16, 17), (15, 15, 18, 9))),
    )


def draw_plan(chance: Random) -> ThinkingPlan:
    """A plan of any shape that `compile_plan` can return, and of some that it would refuse."""
    cap = chance.choice((None, chance.randint(0, 4), chance.randint(5, 20)))
    cap_text = _draw_text(chance)
    return ThinkingPlan(
        start=_draw_start(chance),
        end=_draw_end(chance),
        stops=chance.choice(((EOS,), (EOS, EOT), (EOS, EOT), ())),
        also_ends=chance.choice(((), (), (Pattern.of_ids((TOOL,)),))),
        waits=tuple(_draw_text(chance) for _ in range(chance.randint(1, 3))),
        cap_text=cap_text if cap is not None and len(cap_text) <= cap else (),
        newline=chance.choice(((), (NEWLINE,))),
        answer_prefix=chance.choice(((), (NEWLINE, 15), (TURN, 16, LEAD))),
        no_thinking=chance.choice(((), (OPEN, CLOSE), (CLOSE, 15), (LEAD, 15))),
        no_text=chance.choice((None, ((CLOSE,), (NEWLINE, CLOSE)))),
        force_start=chance.choice((False, True)),
        closes_at_openers=chance.choice((False, False, True)),
        max_thinking_tokens=cap,
        min_thinking_tokens=chance.choice((0, 0, 0, 1, 3, 8, 15)) if cap is None else chance.randint(0, cap),
        num_waits=chance.choice((0, 0, 1, 2, 4)),
        landing_tokens=0 if cap is None else chance.choice((0, 0, 2, 5, 40)),
        loop_tokens=chance.choice((0, 0, 0, 8, 8, 12, 24)),
        scope=chance.choice(("response", "block")),
        line_ends=LINE_ENDS,
        landings=LANDINGS,
        boundaries=BOUNDARIES,
    )


def _draw_start(chance: Random) -> Marker:
    kind = chance.choice(("own", "lined", "led", "shared", "spelt"))
    if kind == "own":
        return Marker.of_ids((OPEN,))
    if kind == "lined":  # its line end belongs to the marker: a closing right after it has a newline of its own
        return Marker.of_ids((OPEN, NEWLINE))
    words = _draw_words(chance, 3 if kind == "spelt" else 2)
    if kind == "spelt":
        return Marker.of_ids(words, len(words) - 1)
    return Marker.of_ids((LEAD, *words, OPEN), 1) if kind == "shared" else Marker.of_ids((LEAD, *words))


def _draw_end(chance: Random) -> Marker:
    kind = chance.choice(("own", "led", "spelt", "repeating"))
    if kind == "own":
        return Marker.of_ids((CLOSE,))
    if kind == "led":
        return Marker.of_ids((LEAD, *_draw_words(chance, 3)))
    a, b = MARKER_WORDS[:2]
    ids = _draw_words(chance, 5) if kind == "spelt" else chance.choice(((a, a, b), (a, b, a), (a, b, a, b, a), (a, a)))
    return Marker.of_ids(ids, len(ids) - 1)


def _draw_words(chance: Random, most: int) -> Ids:
    return tuple(chance.choice(MARKER_WORDS) for _ in range(chance.randint(1, most)))


def _draw_text(chance: Random) -> Ids:
    words = (*WAIT_WORDS, *TEXT, MARKER_WORDS[0])
    return tuple(chance.choice(words) for _ in range(chance.randrange(5)))
