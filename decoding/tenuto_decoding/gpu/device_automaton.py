"""The automaton for many requests at once, as functions for Triton kernels.

They follow `ThinkingAutomaton`; names and order are the same there. A lane is a request: vectors hold a value for each,
and what would be a branch is a choice. Plans and state lie in memory as `layout` says.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# What Triton compiles holds its own kinds of values only, and it takes an annotation of a kernel for a declaration.

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ..loops import MIN_REPEATS
from .layout import MAX_SOURCES, Ended, Header, InPhase, Mark, Opening, ScriptKind, State

# Triton takes globals that are constexpr, and keeps compiled kernels by their values.
_START, _START_SIZE, _START_GATE, _END, _END_SIZE, _END_GATE, _SOURCES, _STOPS, _SOURCE_COUNT = (
    tl.constexpr(int(word)) for word in list(Header)[:9]
)
_CLOSING, _SHORT_CLOSING, _NEWLINE_SIZE, _CAP_TEXT_SIZE, _TAIL_SIZE, _WAITS, _WAIT_COUNT, _NUM_WAITS = (
    tl.constexpr(int(word)) for word in list(Header)[9:17]
)
_LANDING, _PER_BLOCK, _OPENING = (tl.constexpr(int(word)) for word in list(Header)[17:20])
_LOOP, _MIN_REPEATS = tl.constexpr(int(Header.LOOP)), tl.constexpr(MIN_REPEATS)
_PHASE, _TOKENS, _WAITED, _BASE, _WAITS_BASE, _MATCHED, _PREFIXES, _LAST, _ENDED, _SCRIPT, _AT, _STOP = (
    tl.constexpr(int(column)) for column in list(State)[2:14]
)
BEFORE, THINKING, ANSWER = (tl.constexpr(int(phase)) for phase in InPhase)
BY_NOTHING, BY_MODEL, BY_CAP, BY_STOP_TOKEN, BY_LOOP = (tl.constexpr(int(reason)) for reason in Ended)
NO_SCRIPT, IN_MARKER, IN_WAIT, IN_CLOSING, IN_LOOP_CLOSING = (tl.constexpr(int(kind)) for kind in ScriptKind)
_OPENS_NOTHING, _OPENS_START, _OPENS_ANSWER = (tl.constexpr(int(opening)) for opening in Opening)
LINE_END, LANDS, BOUNDARY, UNKNOWN = (tl.constexpr(int(mark)) for mark in Mark)
_MAX_SOURCES = tl.constexpr(MAX_SOURCES)


class Plan(NamedTuple):
    """The plans of the lanes: their headers' words, and the words' addresses."""

    here: Any  # lanes that have one
    ids: Any
    start: Any
    start_size: Any
    start_gate: Any
    end: Any
    end_size: Any
    end_gate: Any
    gate_id: Any
    sources: Any  # (lanes, MAX_SOURCES); -2 where there is none
    stops: Any
    closing: Any
    short_closing: Any
    newline: Any
    cap_text: Any
    tail: Any
    waits: Any
    wait_count: Any
    num_waits: Any
    landing: Any
    per_block: Any
    loop: Any


class Run(NamedTuple):
    """The automata of the lanes."""

    phase: Any
    tokens: Any
    waits: Any
    base: Any
    waits_base: Any
    matched: Any
    prefixes: Any
    last: Any
    ended: Any
    script: Any
    at: Any
    stop: Any
    runs: Any  # (lanes, patterns): `LoopWatch.runs`; below 0 while a block of thinking is shorter than the pattern


class Bounds(NamedTuple):
    """Cap (-1 for none) and floor in force; those of the plan, unless a request is steered."""

    cap: Any
    floor: Any


class Aim(NamedTuple):
    """Where a redirect within thinking would move probability, and from where."""

    moves: Any  # lanes that are in thinking and have a source
    extends: Any
    target: Any  # -1 for none
    from_gate: Any  # the end marker's gate is a source
    sources: Any  # (lanes, MAX_SOURCES): which of the plan's are
    wait: Any
    wait_size: Any


@triton.jit
def any_lane(lanes):
    return tl.max(lanes.to(tl.int32), axis=0) > 0


@triton.jit
def load_plan(address, here):
    ids = address.to(tl.pointer_type(tl.int32))
    end = tl.load(ids + _END, mask=here, other=0)
    end_gate = tl.load(ids + _END_GATE, mask=here, other=0)
    place = tl.load(ids + _SOURCES, mask=here, other=0)
    count = tl.load(ids + _SOURCE_COUNT, mask=here, other=0)
    column = tl.arange(0, _MAX_SOURCES)[None, :]
    return Plan(
        here=here,
        ids=ids,
        start=tl.load(ids + _START, mask=here, other=0),
        start_size=tl.load(ids + _START_SIZE, mask=here, other=0),
        start_gate=tl.load(ids + _START_GATE, mask=here, other=0),
        end=end,
        end_size=tl.load(ids + _END_SIZE, mask=here, other=0),
        end_gate=end_gate,
        gate_id=tl.load(ids + end + end_gate, mask=here, other=0),
        sources=tl.load((ids + place)[:, None] + column, mask=column < count[:, None], other=-2),
        stops=tl.load(ids + _STOPS, mask=here, other=0),
        closing=tl.load(ids + _CLOSING, mask=here, other=0),
        short_closing=tl.load(ids + _SHORT_CLOSING, mask=here, other=0),
        newline=tl.load(ids + _NEWLINE_SIZE, mask=here, other=0),
        cap_text=tl.load(ids + _CAP_TEXT_SIZE, mask=here, other=0),
        tail=tl.load(ids + _TAIL_SIZE, mask=here, other=0),
        waits=tl.load(ids + _WAITS, mask=here, other=0),
        wait_count=tl.load(ids + _WAIT_COUNT, mask=here, other=1),
        num_waits=tl.load(ids + _NUM_WAITS, mask=here, other=0),
        landing=tl.load(ids + _LANDING, mask=here, other=0),
        per_block=tl.load(ids + _PER_BLOCK, mask=here, other=0) != 0,
        loop=tl.load(ids + _LOOP, mask=here, other=0),
    )


@triton.jit
def no_runs(patterns: tl.constexpr):
    """[1, patterns] what a block of thinking begins with: so many tokens until there is one that a pattern earlier."""
    return -1 - tl.arange(0, patterns)[None, :]


@triton.jit
def load_run(state, runs, here, loops, patterns: tl.constexpr):
    return Run(
        phase=tl.load(state + _PHASE, mask=here, other=0),
        tokens=tl.load(state + _TOKENS, mask=here, other=0),
        waits=tl.load(state + _WAITED, mask=here, other=0),
        base=tl.load(state + _BASE, mask=here, other=0),
        waits_base=tl.load(state + _WAITS_BASE, mask=here, other=0),
        matched=tl.load(state + _MATCHED, mask=here, other=0),
        prefixes=tl.load(state + _PREFIXES, mask=here, other=0),
        last=tl.load(state + _LAST, mask=here, other=0),
        ended=tl.load(state + _ENDED, mask=here, other=0),
        script=tl.load(state + _SCRIPT, mask=here, other=0),
        at=tl.load(state + _AT, mask=here, other=0),
        stop=tl.load(state + _STOP, mask=here, other=0),
        runs=tl.load(runs[:, None] + tl.arange(0, patterns)[None, :], mask=loops[:, None], other=0),
    )


@triton.jit
def store_run(state, runs, run, here, loops, patterns: tl.constexpr):
    tl.store(state + _PHASE, run.phase, mask=here)
    tl.store(state + _TOKENS, run.tokens, mask=here)
    tl.store(state + _WAITED, run.waits, mask=here)
    tl.store(state + _BASE, run.base, mask=here)
    tl.store(state + _WAITS_BASE, run.waits_base, mask=here)
    tl.store(state + _MATCHED, run.matched, mask=here)
    tl.store(state + _PREFIXES, run.prefixes, mask=here)
    tl.store(state + _LAST, run.last, mask=here)
    tl.store(state + _ENDED, run.ended, mask=here)
    tl.store(state + _SCRIPT, run.script, mask=here)
    tl.store(state + _AT, run.at, mask=here)
    tl.store(state + _STOP, run.stop, mask=here)
    tl.store(runs[:, None] + tl.arange(0, patterns)[None, :], run.runs, mask=loops[:, None])


@triton.jit
def choose(new_ones, new, old):
    return Run(
        phase=tl.where(new_ones, new.phase, old.phase),
        tokens=tl.where(new_ones, new.tokens, old.tokens),
        waits=tl.where(new_ones, new.waits, old.waits),
        base=tl.where(new_ones, new.base, old.base),
        waits_base=tl.where(new_ones, new.waits_base, old.waits_base),
        matched=tl.where(new_ones, new.matched, old.matched),
        prefixes=tl.where(new_ones, new.prefixes, old.prefixes),
        last=tl.where(new_ones, new.last, old.last),
        ended=tl.where(new_ones, new.ended, old.ended),
        script=tl.where(new_ones, new.script, old.script),
        at=tl.where(new_ones, new.at, old.at),
        stop=tl.where(new_ones, new.stop, old.stop),
        runs=tl.where(new_ones[:, None], new.runs, old.runs),
    )


@triton.jit
def _with_script(run, lanes, kind, at, stop, ended):
    """The same automata; those of `lanes` force the words from `at` up to `stop`, and thinking `ended` by that."""
    return Run(
        phase=run.phase,
        tokens=run.tokens,
        waits=run.waits,
        base=run.base,
        waits_base=run.waits_base,
        matched=run.matched,
        prefixes=run.prefixes,
        last=run.last,
        ended=tl.where(lanes, ended, run.ended),
        script=tl.where(lanes, kind, run.script),
        at=tl.where(lanes, at, run.at),
        stop=tl.where(lanes, stop, run.stop),
        runs=run.runs,
    )


@triton.jit
def marks_of(marks_ptr, vocabulary, token, here):
    return tl.load(marks_ptr + token, mask=here & (token >= 0) & (token < vocabulary), other=0).to(tl.int32)


@triton.jit
def _stands(plan, marker, size, history, stops, valid):
    """Where the marker is what the tokens before `stops` end in; history is the lanes' tokens, stops (lanes, width)."""
    stands = valid & (stops >= size[:, None])
    for i in range(tl.max(size, axis=0)):
        inside = i < size
        wanted = tl.load(plan.ids + marker + i, mask=plan.here & inside, other=0)
        there = tl.load(history[:, None] + stops - size[:, None] + i, mask=stands & inside[:, None], other=-1)
        stands = stands & ((there == wanted[:, None]) | (i >= size[:, None]))
    return stands


@triton.jit
def initial_phase(plan, history, length, fresh, marks_ptr, vocabulary, width: tl.constexpr):
    """`initial_phase` for the lanes that are fresh: blocks of the prompt from its end, until something decides."""
    phase = tl.where(fresh, BEFORE, BEFORE)
    above = tl.where(fresh, length, 0)
    while any_lane(above > 0):
        stops = above[:, None] - tl.arange(0, width)[None, :]
        valid = stops > 0
        starts = _stands(plan, plan.start, plan.start_size, history, stops, valid)
        ends = _stands(plan, plan.end, plan.end_size, history, stops, valid)
        last = tl.load(history[:, None] + stops - 1, mask=valid, other=-1)
        parts = (marks_of(marks_ptr, vocabulary, last, valid) & BOUNDARY) != 0
        # The nearest decides; at the same place, in this order.
        verdict = tl.where(starts, 1, tl.where(ends, 2, tl.where(parts, 3, 0)))
        nearest = tl.max(tl.where(verdict > 0, stops * 4 + verdict, 0), axis=1)
        phase = tl.where(nearest % 4 == 1, THINKING, tl.where(nearest % 4 == 2, ANSWER, phase))
        above = tl.where(nearest > 0, 0, above - width)
    return phase


@triton.jit
def begin(plan, phase, last, patterns: tl.constexpr):
    """The automata of replies that begin in `phase`; `last` is the prompt's last token."""
    opening = tl.load(plan.ids + _OPENING, mask=plan.here, other=0)
    nothing = tl.where(phase == phase, 0, 0)
    opens = (phase == BEFORE) & (opening == _OPENS_START)
    answers = (phase == BEFORE) & (opening == _OPENS_ANSWER)
    tail = plan.short_closing + plan.newline
    run = Run(
        phase=tl.where(answers, ANSWER, phase),
        tokens=nothing,
        waits=nothing,
        base=nothing,
        waits_base=nothing,
        matched=nothing,
        prefixes=nothing,
        last=last,
        ended=nothing,
        script=nothing,
        at=nothing,
        stop=nothing,
        runs=nothing[:, None] + no_runs(patterns),
    )
    run = _with_script(run, opens, IN_MARKER, plan.start, plan.start + plan.start_size, BY_NOTHING)
    return _with_script(run, answers, IN_CLOSING, tail, tail + plan.tail, BY_CAP)


@triton.jit
def arm(plan, bounds, run, marks_ptr, vocabulary):
    """Start what must follow from the state: the rest of an end marker, or the closing at the cap or in a loop."""
    thinking = plan.here & (run.phase == THINKING) & (run.script < IN_CLOSING)
    spelt = thinking & (run.matched > plan.end_gate)
    count = run.tokens - run.base
    closing_at = bounds.cap - plan.cap_text
    window = tl.maximum(tl.maximum(closing_at - plan.landing + 1, bounds.floor), 1)
    may_close = thinking & ~spelt & (run.script != IN_MARKER)
    capped = may_close & (bounds.cap >= 0) & (count >= tl.minimum(window, closing_at))
    loops = may_close & _loops(plan, run)
    marks = marks_of(marks_ptr, vocabulary, run.last, capped | loops)
    closes = capped & ((count >= closing_at) | ((count >= window) & ((marks & LANDS) != 0)))
    short = (bounds.cap >= 0) & (count + plan.cap_text > bounds.cap)
    first = tl.where(short, plan.short_closing, plan.closing)
    stop = first + plan.newline + tl.where(short, 0, plan.cap_text) + plan.tail
    at = tl.where((marks & LINE_END) != 0, first + plan.newline, first)
    rest = spelt & (run.script == NO_SCRIPT)
    run = _with_script(run, rest, IN_MARKER, plan.end + run.matched, plan.end + plan.end_size, BY_MODEL)
    kind = tl.where(closes, IN_CLOSING, IN_LOOP_CLOSING)
    return _with_script(run, closes | loops, kind, at, stop, run.ended)


@triton.jit
def _loops(plan, run):
    """`LoopWatch.found`."""
    length = 1 + tl.arange(0, run.runs.shape[1])[None, :]
    looked_for = length <= (plan.loop // _MIN_REPEATS)[:, None]
    return tl.max((looked_for & (run.runs + length >= plan.loop[:, None])).to(tl.int32), axis=1) > 0


@triton.jit
def earlier_tokens(plan, history, length, inputs, at, patterns: tl.constexpr):
    """(lanes, patterns) what stands 1, 2, ... tokens before place `at`: committed up to `length`, then drafts.

    `inputs` points to what was fed in at the lanes' first rows: the last committed token, behind it the drafts.
    """
    places = at[:, None] - 1 - tl.arange(0, patterns)[None, :]
    wanted = (plan.here & (plan.loop > 0))[:, None] & (places >= 0)
    drafted = places >= length[:, None]
    draft = tl.load(inputs[:, None] + places - length[:, None] + 1, mask=wanted & drafted, other=-1).to(tl.int32)
    token = tl.load(history[:, None] + places, mask=wanted & ~drafted, other=-1)
    return tl.where(drafted, draft, token)


@triton.jit
def aim_of(plan, bounds, run):
    """What `_thinking_action` redirects, if a lane is in thinking and nothing is being forced."""
    thinking = plan.here & (run.phase == THINKING)
    early = run.tokens - run.base - run.matched < bounds.floor
    extends = thinking & (early | (run.waits - run.waits_base < plan.num_waits))
    turn = plan.ids + plan.waits + 2 * (run.waits % plan.wait_count)
    wait = tl.load(turn, mask=extends, other=0)
    wait_size = tl.load(turn + 1, mask=extends, other=0)
    word = tl.load(plan.ids + wait, mask=extends & (wait_size > 0), other=-1)
    rest = tl.load(
        plan.ids + plan.end + run.matched, mask=thinking & ~extends & (run.matched < plan.end_size), other=-1
    )
    target = tl.where(extends, word, rest)
    from_gate = extends & (run.matched == plan.end_gate) & (plan.gate_id != target)
    stop_columns = tl.arange(0, _MAX_SOURCES)[None, :] < plan.stops[:, None]
    sources = (plan.sources >= 0) & (plan.sources != target[:, None]) & (extends[:, None] | stop_columns)
    sources = sources & thinking[:, None]
    moves = from_gate | (tl.max(sources.to(tl.int32), axis=1) > 0)
    return Aim(moves, extends, target, from_gate, sources, wait, wait_size)


@triton.jit
def _follow(plan, run, token):
    """`Marker.follow`: all prefixes of the marker that the text ends in (a bit each), and the length of the longest."""
    thinking = run.phase == THINKING
    marker = tl.where(thinking, plan.end, plan.start)
    size = tl.where(thinking, plan.end_size, plan.start_size)
    grown = run.prefixes * 2 + 1
    prefixes = tl.where(thinking, 0, 0)
    matched = prefixes
    for i in range(tl.max(size, axis=0)):
        wanted = tl.load(plan.ids + marker + i, mask=plan.here & (i < size), other=-2)
        fits = (((grown >> i) & 1) == 1) & (wanted == token)
        prefixes = prefixes + tl.where(fits, 1 << i, 0)
        matched = tl.where(fits, i + 1, matched)
    return prefixes, matched, matched == size


@triton.jit
def advance(plan, bounds, run, token, earlier, known, fired, marks_ptr, vocabulary):
    """`ThinkingAutomaton.advance` for all lanes, and whether a redirect took effect.

    `earlier` is what `earlier_tokens` says of the token.
    `fired` counts where it is `known`; elsewhere the first token of a wait text is taken for a replaced attempt to end.
    """
    scripted = run.script != NO_SCRIPT
    expected = tl.load(plan.ids + run.at, mask=plan.here & scripted, other=-2)
    on = scripted & (token == expected)
    aim = aim_of(plan, bounds, run)
    fires = (known & fired) | (~known & aim.extends & (aim.target >= 0))
    begun = ~scripted & aim.moves & fires & ((aim.target < 0) | (aim.target == token))
    ends = begun & ~aim.extends
    waits = begun & aim.extends
    # The script that the token belongs to, and what is left of it.
    kind = tl.where(
        on, run.script, tl.where(ends, IN_MARKER, tl.where(waits & (aim.wait_size > 0), IN_WAIT, NO_SCRIPT))
    )
    at = tl.where(on, run.at, tl.where(ends, plan.end + run.matched, aim.wait)) + 1
    stop = tl.where(on, run.stop, tl.where(ends, plan.end + plan.end_size, aim.wait + aim.wait_size))
    cap_text = plan.closing + plan.newline
    counted = tl.where(kind >= IN_CLOSING, (at > cap_text) & (at <= cap_text + plan.cap_text), kind != IN_MARKER)
    # `_take`
    prefixes, matched, complete = _follow(plan, run, token)
    hits = plan.sources == token[:, None]
    stop_columns = tl.arange(0, _MAX_SOURCES)[None, :] < plan.stops[:, None]
    is_stop = tl.max((hits & stop_columns).to(tl.int32), axis=1) > 0
    also_ends = tl.max((hits & ~stop_columns).to(tl.int32), axis=1) > 0
    thinking = run.phase == THINKING
    opens = ~thinking & complete
    closes = thinking & (complete | also_ends)
    by_itself = closes & (kind == NO_SCRIPT)
    counts = thinking & ~closes & counted & (matched <= plan.end_gate) & ~is_stop
    spelt = tl.where(by_itself & complete, tl.minimum(matched - 1, plan.end_gate), 0)
    tokens = run.tokens + tl.where(counts, 1, 0) - spelt - tl.where(ends, run.matched, 0)
    all_waits = run.waits + tl.where(waits, 1, 0)
    anew = opens & plan.per_block
    reason = tl.where(ends, BY_STOP_TOKEN, run.ended)
    forced = tl.where(kind == IN_LOOP_CLOSING, BY_LOOP, BY_CAP)
    reason = tl.where(by_itself, BY_MODEL, tl.where(closes & (kind >= IN_CLOSING), forced, reason))
    again = (run.runs < 0) | (earlier == token[:, None])
    runs = tl.where(thinking[:, None], tl.where(again, run.runs + 1, 0), run.runs)
    run = Run(
        phase=tl.where(opens, THINKING, tl.where(closes, ANSWER, run.phase)),
        tokens=tokens,
        waits=all_waits,
        base=tl.where(anew, tokens, run.base),
        waits_base=tl.where(anew, all_waits, run.waits_base),
        matched=tl.where(opens | closes, 0, matched),
        prefixes=tl.where(opens | closes, 0, prefixes),
        last=tl.where(opens, -1, token),
        ended=reason,
        script=tl.where(at < stop, kind, NO_SCRIPT),
        at=at,
        stop=stop,
        runs=tl.where(opens[:, None], no_runs(run.runs.shape[1]), runs),
    )
    return arm(plan, bounds, run, marks_ptr, vocabulary), begun
