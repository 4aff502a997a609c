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
    BITS_HIT,
    BITS_LENGTH,
    BITS_SIZE,
    DEPTH,
    ENDED_CAP,
    ENDED_LOOP,
    ENDED_MODEL,
    ENDED_NONE,
    ENDED_STOP_TOKEN,
    FLAG_BEGUN,
    FLAG_CERTAIN,
    HIT_END,
    HIT_START,
    IN_TABLE,
    LAST_STATE,
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
from .layout import DeviceScript, PlanHeader, Progress, TableHeader


class DevicePlan(NamedTuple):
    """The plans of the lanes."""

    here: Any  # lanes that have one
    ids: Any  # address of the packed plan
    header: PlanHeader
    table_ids: Any  # address of the packed marker table
    table: TableHeader
    stops: Any  # (lanes, MAX_SOURCES) ids; -2 where there is none


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
    stops: Any  # (lanes, MAX_SOURCES): which of the plan's stops are redirected
    first: Any  # the other sources are in the table, from this offset
    end: Any  # up to this one, except for the target
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
def load_plan(address, table_address, here):
    ids, table_ids = address.to(tl.pointer_type(tl.int32)), table_address.to(tl.pointer_type(tl.int32))
    header = PlanHeader(*load_words(ids, here, len(PlanHeader._fields)))
    column = tl.arange(0, MAX_SOURCES)[None, :]
    return DevicePlan(
        here=here,
        ids=ids,
        header=header,
        table_ids=table_ids,
        table=TableHeader(*load_words(table_ids, here, len(TableHeader._fields))),
        stops=tl.load((ids + header.stops)[:, None] + column, mask=column < header.stop_count[:, None], other=-2),
    )


@triton.jit
def text_at(plan, at, here):
    """The id at an offset of a text: in the plan, or in the marker table."""
    in_table = at >= IN_TABLE
    own = tl.load(plan.ids + at, mask=here & ~in_table, other=-2)
    return tl.where(in_table, tl.load(plan.table_ids + (at - IN_TABLE), mask=here & in_table, other=-2), own)


@triton.jit
def flags_of(plan, state, here):
    return tl.load(plan.table_ids + plan.table.flags + state, mask=here, other=0)


@triton.jit
def rest_of(plan, state, here):
    """Offset and size of what completes the end marker."""
    pair = plan.table_ids + plan.table.rests + 2 * state
    return IN_TABLE + tl.load(pair, mask=here, other=0), tl.load(pair + 1, mask=here, other=0)


@triton.jit
def _count_bits(bits):
    """How many bits of an int32 are set."""
    count = bits.to(tl.uint32, bitcast=True)
    count = count - ((count >> 1) & 0x55555555)
    count = (count & 0x33333333) + ((count >> 2) & 0x33333333)
    count = (count + (count >> 4)) & 0x0F0F0F0F
    count = count + (count >> 8)
    count = count + (count >> 16)
    return (count & 63).to(tl.int32)


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
def _last_hits(plan, history, stops, valid):
    """`MarkerTable.last_hit` of the tokens before `stops`; history is the lanes' tokens, stops (lanes, width)."""
    table, longest = plan.table, plan.table.longest
    hits = tl.where(valid, 0, 0)
    states = hits + table.prompt[:, None]
    for i in range(tl.max(longest, axis=0)):
        places = stops - longest[:, None] + i
        read = valid & (places >= 0) & (i < longest)[:, None]
        tokens = tl.load(history[:, None] + places, mask=read, other=0)
        kinds = tl.load((plan.table_ids + table.classes)[:, None] + tokens, mask=read, other=0)
        step = (plan.table_ids + table.steps)[:, None] + kinds * table.states[:, None] + states
        taken = tl.load(step, mask=read, other=0)
        states = tl.where(read, taken & LAST_STATE, states)
        hits = tl.where(read, (taken >> BITS_HIT) & 7, hits)
    return hits


@triton.jit
def initial_phase(plan, history, length, fresh, marks_ptr, vocabulary, width: tl.constexpr):
    """`initial_phase` for the fresh lanes: blocks of the prompt from its end, until a token decides."""
    phase = tl.where(fresh, PHASE_BEFORE, PHASE_BEFORE)
    above = tl.where(fresh, length, 0)
    while any_lane(above > 0):
        stops = above[:, None] - tl.arange(0, width)[None, :]
        valid = stops > 0
        hits = _last_hits(plan, history, stops, valid)
        last = tl.load(history[:, None] + stops - 1, mask=valid, other=-1)
        boundary = (marks_of(marks_ptr, vocabulary, last, valid) & MARK_BOUNDARY) != 0
        # The nearest to the end decides; at one position, in this order.
        verdict = tl.where(hits == HIT_START, 1, tl.where(hits == HIT_END, 2, tl.where(boundary | (hits > 0), 3, 0)))
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
    at = tl.where(opens, header.start, header.no_thinking)
    thinking = phase == PHASE_THINKING
    return DeviceAutomaton(
        Progress(
            phase=tl.where(answers, PHASE_ANSWER, phase),
            counted=none,
            waits=none,
            first_token=none,
            first_wait=none,
            state=tl.where(thinking, plan.table.inside, plan.table.outside),
            offsets=none,
            last=last,
        ),
        DeviceScript(
            kind=tl.where(opens, SCRIPT_MARKER, tl.where(answers, SCRIPT_CLOSING, SCRIPT_NONE)),
            at=at,
            stop=at + tl.where(opens, header.start_size, header.no_thinking_size),
            ended=tl.where(answers, ENDED_CAP, ENDED_NONE),
        ),
        none[:, None] + no_runs(patterns),
    )


@triton.jit
def arm(plan, bounds, automaton, marks_ptr, vocabulary):
    """Start the script that the state requires: the rest of an end marker, or the closing at the cap or in a loop."""
    header, progress, script = plan.header, automaton.progress, automaton.script
    thinking = plan.here & (progress.phase == PHASE_THINKING) & (script.kind < SCRIPT_CLOSING)
    flags = flags_of(plan, progress.state, thinking)
    certain = thinking & ((flags & FLAG_CERTAIN) != 0)
    count = progress.counted - progress.first_token
    closing_at = bounds.cap - header.cap_text_size
    window = tl.maximum(tl.maximum(closing_at - header.landing + 1, bounds.floor), 1)
    may_close = thinking & ~certain & (script.kind != SCRIPT_MARKER)
    capped = may_close & (bounds.cap >= 0) & (count >= tl.minimum(window, closing_at))
    loops = may_close & _loops(plan, automaton.runs)
    marks = marks_of(marks_ptr, vocabulary, progress.last, capped | loops)
    closes = capped & ((count >= closing_at) | ((count >= window) & ((marks & MARK_LANDING) != 0)))
    completes = certain & (script.kind == SCRIPT_NONE)
    ends = closes | loops

    # `_closing`: the rest of an end marker that has begun, that of thinking without text, or the usual one.
    after_newline = (marks & MARK_LINE_END) != 0
    short = (bounds.cap >= 0) & (count + header.cap_text_size > bounds.cap)
    first = tl.where(short, header.short_closing, header.closing)
    size = tl.where(short, 0, header.cap_text_size) + header.newline_size + header.end_size + header.prefix_size
    at = tl.where(after_newline, first + header.newline_size, first)
    stop = first + size
    empty = (bounds.cap == 0) & (count == 0)
    at = tl.where(empty, tl.where(after_newline, header.nothing_line, header.nothing), at)
    nothing_size = tl.where(after_newline, header.nothing_line_size, header.nothing_size)
    stop = tl.where(empty, at + nothing_size, stop)
    begun = completes | (ends & ((flags & FLAG_BEGUN) != 0))
    rest, rest_size = rest_of(plan, progress.state, begun)
    at = tl.where(begun, rest, at)
    stop = tl.where(begun, rest + rest_size, stop)
    kind = tl.where(completes, SCRIPT_MARKER, tl.where(closes, SCRIPT_CLOSING, SCRIPT_LOOP_CLOSING))
    ended = tl.where(completes, ENDED_MODEL, script.ended)
    script = DeviceScript(*_select(completes | ends, DeviceScript(kind, at, stop, ended), script))
    return DeviceAutomaton(_without_pending(progress, begun), script, automaton.runs)


@triton.jit
def _without_pending(progress, begun):
    """`ThinkingAutomaton._end_begun`: what has been written of an end marker does not count."""
    return Progress(
        phase=progress.phase,
        counted=progress.counted - tl.where(begun, _count_bits(progress.offsets), 0),
        waits=progress.waits,
        first_token=progress.first_token,
        first_wait=progress.first_wait,
        state=progress.state,
        offsets=tl.where(begun, 0, progress.offsets),
        last=progress.last,
    )


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
def opening(plan, first, end):
    """What keeps the start marker from being written: sources in the table, and no target."""
    nothing = tl.where(plan.here, 0, 0)
    return Aim(plan.here, plan.here, nothing - 1, plan.stops == -1, first, end, nothing, nothing)


@triton.jit
def aim_of(plan, bounds, progress):
    """The redirect of `_thinking_action`, in lanes that are thinking and in which nothing is being forced."""
    header = plan.header
    thinking = plan.here & (progress.phase == PHASE_THINKING)
    early = progress.counted - _count_bits(progress.offsets) - progress.first_token < bounds.floor
    extends = thinking & (early | (progress.waits - progress.first_wait < header.num_waits))
    turn = plan.ids + header.waits + 2 * (progress.waits % tl.maximum(header.wait_count, 1))
    wait = tl.load(turn, mask=extends, other=0)
    wait_size = tl.load(turn + 1, mask=extends, other=0)
    word = tl.load(plan.ids + wait, mask=extends & (wait_size > 0), other=-1)
    closes = thinking & ~extends
    rest, _ = rest_of(plan, progress.state, closes)
    target = tl.where(extends, word, text_at(plan, rest, closes))
    stops = (plan.stops >= 0) & (plan.stops != target[:, None]) & thinking[:, None]
    # The tokens that begin an end marker, then those that begin an opener.
    offsets = plan.table_ids + plan.table.sources + 2 * progress.state
    openers = closes & (header.at_openers != 0)
    listed = extends | openers
    first = tl.load(offsets + tl.where(extends, 0, 1), mask=listed, other=0)
    end = tl.load(offsets + 2, mask=listed, other=0)
    only = tl.load(plan.table_ids + first, mask=listed & (end == first + 1), other=-1)
    lists = (end > first + 1) | ((end == first + 1) & (only != target))
    moves = lists | (tl.max(stops.to(tl.int32), axis=1) > 0)
    return Aim(moves, extends, target, stops, first, end, wait, wait_size)


@triton.jit
def advance(plan, bounds, automaton, token, earlier, known, fired, marks_ptr, vocabulary):
    """`ThinkingAutomaton.advance` for all lanes, and whether a redirect took effect.

    `earlier` is the result of `earlier_tokens` for the token. `fired` counts where it is `known`; elsewhere the first
    token of a wait text is taken for a replaced attempt to stop.
    """
    header, progress, script = plan.header, automaton.progress, automaton.script
    scripted = script.kind != SCRIPT_NONE
    expected = text_at(plan, script.at, plan.here & scripted)
    on = scripted & (token == expected)
    aim = aim_of(plan, bounds, progress)
    fires = (known & fired) | (~known & aim.extends & (aim.target >= 0))
    begun = ~scripted & aim.moves & fires & ((aim.target < 0) | (aim.target == token))
    ends = begun & ~aim.extends
    waits = begun & aim.extends
    # The script that the token belongs to, and what is left of it.
    rest, rest_size = rest_of(plan, progress.state, ends)
    started = tl.where(ends, SCRIPT_MARKER, tl.where(waits & (aim.wait_size > 0), SCRIPT_WAIT, SCRIPT_NONE))
    kind = tl.where(on, script.kind, started)
    at = tl.where(on, script.at, tl.where(ends, rest, aim.wait)) + 1
    stop = tl.where(on, script.stop, tl.where(ends, rest + rest_size, aim.wait + aim.wait_size))
    cap_text = header.closing + header.newline_size
    in_cap_text = (at > cap_text) & (at <= cap_text + header.cap_text_size)
    # After the rest of an end marker that the cap or a loop completes comes the answer prefix.
    prefix = header.short_closing + header.newline_size + header.end_size
    continues = (kind >= SCRIPT_CLOSING) & (at == stop) & (stop >= IN_TABLE)
    at = tl.where(continues, prefix, at)
    stop = tl.where(continues, prefix + header.prefix_size, stop)
    # `_take`
    progress = _without_pending(progress, ends)
    table, table_ids = plan.table, plan.table_ids
    inside = plan.here & (token >= 0) & (token < vocabulary)
    of_token = tl.load(table_ids + table.classes + token, mask=inside, other=0)
    taken = tl.load(table_ids + table.steps + of_token * table.states + progress.state, mask=plan.here, other=0)
    state = taken & LAST_STATE
    hit = ((taken >> BITS_HIT) & 7) != 0
    size = (taken >> BITS_SIZE) & 63
    length = taken >> BITS_LENGTH
    is_stop = tl.max((plan.stops == token[:, None]).to(tl.int32), axis=1) > 0
    thinking = progress.phase == PHASE_THINKING
    opens, closes = ~thinking & hit, thinking & hit
    unforced = closes & (kind == SCRIPT_NONE)
    in_script = tl.where(kind >= SCRIPT_CLOSING, in_cap_text, kind == SCRIPT_WAIT)
    counts = thinking & tl.where(kind == SCRIPT_NONE, ~is_stop, in_script)
    before = tl.where(size > 31, 0, progress.offsets << tl.minimum(size, 31))
    depth = tl.where(hit, length, flags_of(plan, state, plan.here) & DEPTH)
    within = (2 << depth) - 1
    own = tl.where(counts & (size <= depth), 1 << tl.minimum(size, 31), 0)
    offsets = (before | own) & within & -2
    uncounted = tl.where(closes, _count_bits(before & within), 0)
    counted = progress.counted + tl.where(counts & (~hit | (size > length)), 1, 0) - uncounted
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
            counted=counted,
            waits=all_waits,
            first_token=tl.where(resets, counted, progress.first_token),
            first_wait=tl.where(resets, all_waits, progress.first_wait),
            state=state,
            offsets=tl.where(thinking & ~hit, offsets, 0),
            last=tl.where(opens, -1, token),
        ),
        DeviceScript(kind=tl.where(at < stop, kind, SCRIPT_NONE), at=at, stop=stop, ended=ended),
        tl.where(opens[:, None], no_runs(automaton.runs.shape[1]), runs),
    )
    return arm(plan, bounds, automaton, marks_ptr, vocabulary), begun
