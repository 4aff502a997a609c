"""What happens in the simulated engine: random plans of the shapes that families have, prompts, and a temper."""

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from tenuto_decoding import Marker, ThinkingPlan
from tenuto_decoding.packing import mark_tokens

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
class Story:
    """One request.

    Attributes:
        plan: None for a request without a budget.
        prompt: what the engine is given.
        temperature: 0 for greedy.
        structured: a grammar rules out random tokens.
        length: tokens after which the reply ends.
        circle: what the model says again and again, if it does.
    """

    plan: ThinkingPlan | None
    prompt: Ids
    temperature: float
    structured: bool
    length: int
    circle: Ids = ()


def _words(*sizes: int) -> st.SearchStrategy[Ids]:
    return st.lists(st.sampled_from(MARKER_WORDS), min_size=sizes[0], max_size=sizes[-1]).map(tuple)


@st.composite
def _starts(draw: st.DrawFn) -> Marker:
    kind = draw(st.sampled_from(("own", "led", "shared", "spelt")))
    if kind == "own":
        return Marker(ids=(OPEN,))
    if kind == "led":
        return Marker(ids=(LEAD, *draw(_words(1, 2))))
    if kind == "shared":
        return Marker(ids=(LEAD, *draw(_words(1, 2)), OPEN), gate=1)
    ids = draw(_words(1, 3))
    return Marker(ids=ids, gate=len(ids) - 1)


@st.composite
def _ends(draw: st.DrawFn) -> Marker:
    kind = draw(st.sampled_from(("own", "led", "spelt", "repeating")))
    if kind == "own":
        return Marker(ids=(CLOSE,))
    if kind == "led":
        return Marker(ids=(LEAD, *draw(_words(1, 3))))
    a, b = MARKER_WORDS[:2]
    ids = (
        draw(_words(1, 5))
        if kind == "spelt"
        else draw(st.sampled_from(((a, a, b), (a, b, a), (a, b, a, b, a), (a, a))))
    )
    return Marker(ids=ids, gate=len(ids) - 1)


_texts = st.lists(st.sampled_from((*WAIT_WORDS, *TEXT, *MARKER_WORDS[:1])), max_size=4).map(tuple)


@st.composite
def plans(draw: st.DrawFn) -> ThinkingPlan:
    """Plans of every shape that `compile_plan` can give, and some that it would refuse."""
    cap = draw(st.one_of(st.none(), st.integers(0, 4), st.integers(5, 20)))
    cap_text = draw(_texts) if cap is not None else ()
    return ThinkingPlan(
        start=draw(_starts()),
        end=draw(_ends()),
        stops=draw(st.sampled_from(((EOS,), (EOS, EOT), (EOS, EOT), ()))),
        also_ends=draw(st.sampled_from(((), (), (TOOL,)))),
        waits=tuple(draw(st.lists(_texts, min_size=1, max_size=3))),
        cap_text=cap_text if cap is not None and len(cap_text) <= cap else (),
        newline=draw(st.sampled_from(((), (NEWLINE,)))),
        answer_prefix=draw(st.sampled_from(((), (NEWLINE, 15), (TURN, 16, LEAD)))),
        force_start=draw(st.booleans()),
        max_thinking_tokens=cap,
        min_thinking_tokens=draw(st.sampled_from((0, 0, 0, 1, 3, 8, 15))) if cap is None else draw(st.integers(0, cap)),
        num_waits=draw(st.sampled_from((0, 0, 1, 2, 4))),
        landing_tokens=draw(st.sampled_from((0, 0, 2, 5, 40))) if cap is not None else 0,
        loop_tokens=draw(st.sampled_from((0, 0, 0, 8, 8, 12, 24))),
        scope=draw(st.sampled_from(("response", "block"))),
        line_ends=LINE_ENDS,
        landings=LANDINGS,
        boundaries=BOUNDARIES,
    )


@st.composite
def stories(draw: st.DrawFn) -> Story:
    plan = draw(st.one_of(plans(), plans(), plans(), plans(), plans(), st.none()))
    if plan is not None and plan.landing_tokens == 0:
        plan = replace(plan, landings=frozenset())  # as compiled
    start, end = (plan.start.ids, plan.end.ids) if plan else ((OPEN,), (CLOSE,))
    pieces = st.sampled_from(
        ((15,), (16, 17), start, end, start[:-1], end[:-1], (TURN,), (EOT,), (NEWLINE,), (18,) * 40)
    )
    prompt = tuple(token for piece in draw(st.lists(pieces, max_size=6)) for token in piece)
    return Story(
        plan=plan,
        prompt=prompt or (TURN,),
        temperature=draw(st.sampled_from((0.0, 0.0, 0.3, 0.7, 1.0, 1.5))),
        structured=draw(st.sampled_from((False, False, False, True))),
        length=draw(st.integers(1, 60)),
        circle=draw(st.sampled_from(((), (), (), (15,), (16, 17), (15, 15, 18, 9)))),
    )
