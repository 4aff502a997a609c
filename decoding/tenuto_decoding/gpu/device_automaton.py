"""The automaton for many requests at once, as functions for Triton kernels.

They follow `ThinkingAutomaton`, with its names and order. Each request has a lane of its own: a vector holds one value
per lane, and what would be a branch selects between two vectors. `layout` describes plans and state in memory.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, disable-error-code="assignment"
# Compiled functions handle Triton's own values only, and Triton reads a kernel's annotations as declarations.

from typing import Any, NamedTuple

import triton
import triton.language as tl

from .constants import (
    ENDED_CAP,
    ENDED_LOOP,
    ENDED_MODEL,
    ENDED_NONE,
    ENDED_STOP_TOKEN,
    MARK_BOUNDARY,
    MARK_LANDING,
    MARK_LINE_END,
    MAX_SOURCES,
    MIN_REPEATS,
    OPENING_ANSWER,
    OPENING_START,
    PHASE_ANSWER,
    PHASE_BEFORE,
    PHASE_THINKING,
    PROGRESS,
    SCRIPT,
    SCRIPT_CLOSING,
    SCRIPT_LOOP_CLOSING,
    SCRIPT_MARKER,
    SCRIPT_NONE,
    SCRIPT_WAIT,
)
from .layout import DeviceScript, PlanHeader, Progress


class DevicePlan(NamedTuple):
    """The plans of the lanes."""

    here: Any  # lanes that have one
    ids: Any  # address of the packed plan
    header: PlanHeader
    gate_id: Any
    sources: Any  # (lanes, MAX_SOURCES) ids; -2 where there is none


class DeviceAutomaton(NamedTuple):
    """The automata of the lanes."""

    progress: Progress
    script: DeviceScript
    runs: Any  # (lanes, patterns): `LoopWatch.runs`; below 0 while a block of thinking is shorter than the pattern


class Aim(NamedTuple):
    """Where a redirect during thinking would move probability, and from where."""

    moves: Any  # lanes that are thinking and have a source
    extends: Any
    target: Any  # -1 for none
    from_gate: Any  # whether the end marker's gate is a source
    sources: Any  # (lanes, MAX_SOURCES): which of the plan's sources are redirected
    wait: Any  # offset of the wait text
    wait_size: Any


@triton.jit
def any_lane(lanes):
    return tl.max(lanes.to(tl.int32), axis=0) > 0


@triton.jit
def load_words(words, here, count: tl.constexpr):
    """`count` consecutive words of each lane, as a tuple of vectors; 0 in lanes that are not `here`."""
    loaded = ()
    for i in tl.static_range(count):
        loaded = loaded + (tl.load(words + i, mask=here, other=0),)  # noqa: RUF005  Triton compiles no unpacking here
    return loaded


@triton.jit
def store_words(words, values, here):
    """Store a tuple of vectors as consecutive words of each lane."""
    for i in tl.static_range(len(values)):
        tl.store(words + i, values[i], mask=here)


@triton.jit
def _select(lanes, new, old):
    """A tuple of vectors: `new` in those lanes, `old` in the others."""
    selected = ()
    for i in tl.static_range(len(old)):
        selected = selected + (tl.where(lanes, new[i], old[i]),)  # noqa: RUF005
    return selected


@triton.jit
def load_plan(address, here):
    ids = address.to(tl.pointer_type(tl.int32))
    header = PlanHeader(*load_words(ids, here, len(PlanHeader._fields)))
    column = tl.arange(0, MAX_SOURCES)[None, :]
    return DevicePlan(
        here=here,
        ids=ids,
        header=header,
        gate_id=tl.load(ids + header.end + header.end_gate, mask=here, other=0),
        sources=tl.load((ids + header.sources)[:, None] + column, mask=column < header.source_count[:, None], other=-2),
    )


@triton.jit
def load_automaton(state, runs, here, loops, patterns: tl.constexpr):
    return DeviceAutomaton(
        Progress(*load_words(state + PROGRESS, here, len(Progress._fields))),
        DeviceScript(*load_words(state + SCRIPT, here, len(DeviceScript._fields))),
        tl.load(runs[:, None] + tl.arange(0, patterns)[None, :], mask=loops[:, None], other=0),
    )


@triton.jit
def store_automaton(state, runs, automaton, here, loops, patterns: tl.constexpr):
    store_words(state + PROGRESS, automaton.progress, here)
    store_words(state + SCRIPT, automaton.script, here)
    tl.store(runs[:, None] + tl.arange(0, patterns)[None, :], automaton.runs, mask=loops[:, None])


@triton.jit
def select_automaton(lanes, new, old):
    """`new` in those lanes, `old` in the others."""
    return DeviceAutomaton(
        Progress(*_select(lanes, new.progress, old.progress)),
        DeviceScript(*_select(lanes, new.script, old.script)),
        tl.where(lanes[:, None], new.runs, old.runs),
    )


@triton.jit
def no_runs(patterns: tl.constexpr):
    """[1, patterns] runs at the start of a block: minus the number of tokens until one has a token to repeat."""
    return -1 - tl.arange(0, patterns)[None, :]


@triton.jit
def marks_of(marks_ptr, vocabulary, token, here):
    return tl.load(marks_ptr + token, mask=here & (token >= 0) & (token < vocabulary), other=0).to(tl.int32)


@triton.jit
def _ends_in(plan, marker, size, history, stops, valid):
    """Where the tokens before `stops` end in the marker; history is the lanes' tokens, stops (lanes, width)."""
    ends = valid & (stops >= size[:, None])
    for i in range(tl.max(size, axis=0)):
        inside = i < size
        wanted = tl.load(plan.ids + marker + i, mask=plan.here & inside, other=0)
        found = tl.load(history[:, None] + stops - size[:, None] + i, mask=ends & inside[:, None], other=-1)
        ends = ends & ((found == wanted[:, None]) | (i >= size[:, None]))
    return ends


@triton.jit
def initial_phase(plan, history, length, fresh, marks_ptr, vocabulary, width: tl.constexpr):
    """`initial_phase` for the fresh lanes: blocks of the prompt from its end, until a token decides."""
    header = plan.header
    phase = tl.where(fresh, PHASE_BEFORE, PHASE_BEFORE)
    above = tl.where(fresh, length, 0)
    while any_lane(above > 0):
        stops = above[:, None] - tl.arange(0, width)[None, :]
        valid = stops > 0
        starts = _ends_in(plan, header.start, header.start_size, history, stops, valid)
        ends = _ends_in(plan, header.end, header.end_size, history, stops, valid)
        last = tl.load(history[:, None] + stops - 1, mask=valid, other=-1)
        boundary = (marks_of(marks_ptr, vocabulary, last, valid) & MARK_BOUNDARY) != 0
        # The nearest to the end decides; at one position, in this order.
        verdict = tl.where(starts, 1, tl.where(ends, 2, tl.where(boundary, 3, 0)))
        nearest = tl.max(tl.where(verdict > 0, stops * 4 + verdict, 0), axis=1)
        phase = tl.where(nearest % 4 == 1, PHASE_THINKING, tl.where(nearest % 4 == 2, PHASE_ANSWER, phase))
        above = tl.where(nearest > 0, 0, above - width)
    return phase


@triton.jit
def begin(plan, phase, last, patterns: tl.constexpr):
    """The automata of replies that begin in `phase`; `last` is the prompt's last token."""
    header = plan.header
    none = tl.where(phase == phase, 0, 0)
    opens = (phase == PHASE_BEFORE) & (header.opening == OPENING_START)
    answers = (phase == PHASE_BEFORE) & (header.opening == OPENING_ANSWER)
    at = tl.where(opens, header.start, header.short_closing + header.newline_size)
    return DeviceAutomaton(
        Progress(
            phase=tl.where(answers, PHASE_ANSWER, phase),
            tokens=none,
            waits=none,
            first_token=none,
            first_wait=none,
            matched=none,
            prefixes=none,
            last=last,
        ),
        DeviceScript(
            kind=tl.where(opens, SCRIPT_MARKER, tl.where(answers, SCRIPT_CLOSING, SCRIPT_NONE)),
            at=at,
            stop=at + tl.where(opens, header.start_size, header.tail_size),
            ended=tl.where(answers, ENDED_CAP, ENDED_NONE),
        ),
        none[:, None] + no_runs(patterns),
    )


@triton.jit
def arm(plan, bounds, automaton, marks_ptr, vocabulary):
    """Start the script that the state requires: the rest of an end marker, or the closing at the cap or in a loop."""
    header, progress, script = plan.header, automaton.progress, automaton.script
    thinking = plan.here & (progress.phase == PHASE_THINKING) & (script.kind < SCRIPT_CLOSING)
    spelt = thinking & (progress.matched > header.end_gate)
    count = progress.tokens - progress.first_token
    closing_at = bounds.cap - header.cap_text_size
    window = tl.maximum(tl.maximum(closing_at - header.landing + 1, bounds.floor), 1)
    may_close = thinking & ~spelt & (script.kind != SCRIPT_MARKER)
    capped = may_close & (bounds.cap >= 0) & (count >= tl.minimum(window, closing_at))
    loops = may_close & _loops(plan, automaton.runs)
    marks = marks_of(marks_ptr, vocabulary, progress.last, capped | loops)
    closes = capped & ((count >= closing_at) | ((count >= window) & ((marks & MARK_LANDING) != 0)))

    short = (bounds.cap >= 0) & (count + header.cap_text_size > bounds.cap)
    first = tl.where(short, header.short_closing, header.closing)
    closing = DeviceScript(
        kind=tl.where(closes, SCRIPT_CLOSING, SCRIPT_LOOP_CLOSING),
        at=tl.where((marks & MARK_LINE_END) != 0, first + header.newline_size, first),
        stop=first + header.newline_size + tl.where(short, 0, header.cap_text_size) + header.tail_size,
        ended=script.ended,
    )
    rest = DeviceScript(SCRIPT_MARKER, header.end + progress.matched, header.end + header.end_size, ENDED_MODEL)
    script = DeviceScript(*_select(spelt & (script.kind == SCRIPT_NONE), rest, script))
    return DeviceAutomaton(progress, DeviceScript(*_select(closes | loops, closing, script)), automaton.runs)


@triton.jit
def _loops(plan, runs):
    """`LoopWatch.found`."""
    length = 1 + tl.arange(0, runs.shape[1])[None, :]
    watched = length <= (plan.header.loop // MIN_REPEATS)[:, None]
    return tl.max((watched & (runs + length >= plan.header.loop[:, None])).to(tl.int32), axis=1) > 0


@triton.jit
def earlier_tokens(plan, history, length, inputs, at, patterns: tl.constexpr):
    """(lanes, patterns) the tokens 1, 2, ... before position `at`: committed ones up to `length`, then drafts.

    `inputs` points to the input ids of the lanes' first rows: the last committed token, then the drafts.
    """
    positions = at[:, None] - 1 - tl.arange(0, patterns)[None, :]
    wanted = (plan.here & (plan.header.loop > 0))[:, None] & (positions >= 0)
    drafted = positions >= length[:, None]
    draft = tl.load(inputs[:, None] + positions - length[:, None] + 1, mask=wanted & drafted, other=-1).to(tl.int32)
    token = tl.load(history[:, None] + positions, mask=wanted & ~drafted, other=-1)
    return tl.where(drafted, draft, token)


@triton.jit
def aim_of(plan, bounds, progress):
    """The redirect of `_thinking_action`, in lanes that are thinking and in which nothing is being forced."""
    header = plan.header
    thinking = plan.here & (progress.phase == PHASE_THINKING)
    early = progress.tokens - progress.first_token - progress.matched < bounds.floor
    extends = thinking & (early | (progress.waits - progress.first_wait < header.num_waits))
    turn = plan.ids + header.waits + 2 * (progress.waits % tl.maximum(header.wait_count, 1))
    wait = tl.load(turn, mask=extends, other=0)
    wait_size = tl.load(turn + 1, mask=extends, other=0)
    word = tl.load(plan.ids + wait, mask=extends & (wait_size > 0), other=-1)
    closes = thinking & ~extends & (progress.matched < header.end_size)
    rest = tl.load(plan.ids + header.end + progress.matched, mask=closes, other=-1)
    target = tl.where(extends, word, rest)
    from_gate = extends & (progress.matched == header.end_gate) & (plan.gate_id != target)
    stops = tl.arange(0, MAX_SOURCES)[None, :] < header.stop_count[:, None]
    sources = (plan.sources >= 0) & (plan.sources != target[:, None]) & (extends[:, None] | stops)
    sources = sources & thinking[:, None]
    moves = from_gate | (tl.max(sources.to(tl.int32), axis=1) > 0)
    return Aim(moves, extends, target, from_gate, sources, wait, wait_size)


@triton.jit
def _follow(plan, progress, token):
    """`Marker.follow`: all prefixes of the marker that the text ends in (one bit each), and the length of the longest.

    Also whether that is the whole marker.
    """
    header = plan.header
    thinking = progress.phase == PHASE_THINKING
    marker = tl.where(thinking, header.end, header.start)
    size = tl.where(thinking, header.end_size, header.start_size)
    grown = progress.prefixes * 2 + 1
    prefixes = tl.where(thinking, 0, 0)
    matched = prefixes
    for i in range(tl.max(size, axis=0)):
        wanted = tl.load(plan.ids + marker + i, mask=plan.here & (i < size), other=-2)
        fits = (((grown >> i) & 1) == 1) & (wanted == token)
        prefixes = prefixes + tl.where(fits, 1 << i, 0)
        matched = tl.where(fits, i + 1, matched)
    return prefixes, matched, matched == size


@triton.jit
def advance(plan, bounds, automaton, token, earlier, known, fired, marks_ptr, vocabulary):
    """`ThinkingAutomaton.advance` for all lanes, and whether a redirect took effect.

    `earlier` is the result of `earlier_tokens` for the token. `fired` counts where it is `known`; elsewhere the first
    token of a wait text is taken for a replaced attempt to stop.
    """
    header, progress, script = plan.header, automaton.progress, automaton.script
    scripted = script.kind != SCRIPT_NONE
    expected = tl.load(plan.ids + script.at, mask=plan.here & scripted, other=-2)
    on = scripted & (token == expected)
    aim = aim_of(plan, bounds, progress)
    fires = (known & fired) | (~known & aim.extends & (aim.target >= 0))
    begun = ~scripted & aim.moves & fires & ((aim.target < 0) | (aim.target == token))
    ends = begun & ~aim.extends
    waits = begun & aim.extends
    # The script that the token belongs to, and what is left of it.
    started = tl.where(ends, SCRIPT_MARKER, tl.where(waits & (aim.wait_size > 0), SCRIPT_WAIT, SCRIPT_NONE))
    kind = tl.where(on, script.kind, started)
    at = tl.where(on, script.at, tl.where(ends, header.end + progress.matched, aim.wait)) + 1
    stop = tl.where(on, script.stop, tl.where(ends, header.end + header.end_size, aim.wait + aim.wait_size))
    cap_text = header.closing + header.newline_size
    in_cap_text = (at > cap_text) & (at <= cap_text + header.cap_text_size)
    counted = tl.where(kind >= SCRIPT_CLOSING, in_cap_text, kind != SCRIPT_MARKER)
    # `_take`
    prefixes, matched, complete = _follow(plan, progress, token)
    hits = plan.sources == token[:, None]
    stops = tl.arange(0, MAX_SOURCES)[None, :] < header.stop_count[:, None]
    is_stop = tl.max((hits & stops).to(tl.int32), axis=1) > 0
    also_ends = tl.max((hits & ~stops).to(tl.int32), axis=1) > 0
    thinking = progress.phase == PHASE_THINKING
    opens = ~thinking & complete
    closes = thinking & (complete | also_ends)
    unforced = closes & (kind == SCRIPT_NONE)
    counts = thinking & ~closes & counted & (matched <= header.end_gate) & ~is_stop
    spelt = tl.where(unforced & complete, tl.minimum(matched - 1, header.end_gate), 0)
    tokens = progress.tokens + tl.where(counts, 1, 0) - spelt - tl.where(ends, progress.matched, 0)
    all_waits = progress.waits + tl.where(waits, 1, 0)
    resets = opens & (header.per_block != 0)
    closing = tl.where(kind == SCRIPT_LOOP_CLOSING, ENDED_LOOP, ENDED_CAP)
    ended = tl.where(ends, ENDED_STOP_TOKEN, script.ended)
    ended = tl.where(unforced, ENDED_MODEL, tl.where(closes & (kind >= SCRIPT_CLOSING), closing, ended))
    repeats = (automaton.runs < 0) | (earlier == token[:, None])
    runs = tl.where(thinking[:, None], tl.where(repeats, automaton.runs + 1, 0), automaton.runs)
    automaton = DeviceAutomaton(
        Progress(
            phase=tl.where(opens, PHASE_THINKING, tl.where(closes, PHASE_ANSWER, progress.phase)),
            tokens=tokens,
            waits=all_waits,
            first_token=tl.where(resets, tokens, progress.first_token),
            first_wait=tl.where(resets, all_waits, progress.first_wait),
            matched=tl.where(opens | closes, 0, matched),
            prefixes=tl.where(opens | closes, 0, prefixes),
            last=tl.where(opens, -1, token),
        ),
        DeviceScript(kind=tl.where(at < stop, kind, SCRIPT_NONE), at=at, stop=stop, ended=ended),
        tl.where(opens[:, None], no_runs(automaton.runs.shape[1]), runs),
    )
    return arm(plan, bounds, automaton, marks_ptr, vocabulary), begun
