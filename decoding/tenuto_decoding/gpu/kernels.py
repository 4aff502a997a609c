"""Two Triton kernels that run the automata on the device and edit the logits.

`step` advances the state by the committed tokens. Over the draft tokens of a step it advances a copy, since the action
of row i + 1 depends on what row i found. It also carries out the redirects, which touch a few logits of a row; `fill`
writes the forced rows, which is wide and needs no order.

With TRITON_INTERPRET=1, set before triton is first imported, the kernels work on CPU tensors.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# Compiled functions handle Triton's own values only, and Triton reads a kernel's annotations as declarations.

import triton
import triton.language as tl

from .constants import (
    BOUNDS,
    ENDED_CAP,
    ENDED_LOOP,
    LAST_STEP,
    LAYOUT,
    MARK_UNKNOWN,
    MAX_SOURCES,
    OCCUPANCY,
    PHASE_BEFORE,
    PHASE_THINKING,
    SCRIPT_NONE,
    SCRIPT_WAIT,
    SETTING_OCCUPANT,
    SETTING_PLAN,
    SETTING_STEERS,
    SETTING_STRUCTURED,
    SETTING_TABLE,
    SETTING_TEMPERATURE,
    SETTING_UNTIL,
    SETTINGS_WIDTH,
    STATE_WIDTH,
    STEERED_AT,
)
from .device_automaton import (
    advance,
    aim_of,
    any_lane,
    arm,
    begin,
    earlier_tokens,
    initial_phase,
    load_automaton,
    load_plan,
    load_words,
    marks_of,
    opening,
    select_automaton,
    store_automaton,
    store_words,
    text_at,
)
from .layout import DeviceBounds, LastStep, Occupancy

_GREEDY = tl.constexpr(1e-5)  # as in `logits.GREEDY`

#: In `forced`: a row of a request without a budget; a row of a request with one in which no token is forced.
NOT_OURS, NOT_FORCED = tl.constexpr(-2), tl.constexpr(-1)


@triton.jit
def _sum(large, small, scale):
    """scale * log(exp(large / scale) + exp(small / scale)), where large >= small."""
    top = tl.where(large == float("-inf"), 0.0, large)
    return top + scale * tl.log(tl.exp((large - top) / scale) + tl.exp((small - top) / scale))


@triton.jit
def _likeliest(line, marks_ptr, vocabulary, here, wide: tl.constexpr):
    """The largest logit of each row, ids without a token excluded."""
    best = tl.where(here, float("-inf"), float("-inf"))
    for first in range(0, vocabulary, wide):
        ids = first + tl.arange(0, wide)[None, :]
        inside = (ids < vocabulary) & here[:, None]
        unknown = (marks_of(marks_ptr, vocabulary, ids, inside) & MARK_UNKNOWN) != 0
        values = tl.load(line[:, None] + ids, mask=inside & ~unknown, other=float("-inf"))
        best = tl.maximum(best, tl.max(values, axis=1))
    return best


@triton.jit
def _count_finite(line, marks_ptr, vocabulary, here, wide: tl.constexpr):
    """The number of ids that are not ruled out in each row, ids without a token excluded."""
    count = tl.where(here, 0, 0)
    for first in range(0, vocabulary, wide):
        ids = first + tl.arange(0, wide)[None, :]
        inside = (ids < vocabulary) & here[:, None]
        unknown = (marks_of(marks_ptr, vocabulary, ids, inside) & MARK_UNKNOWN) != 0
        values = tl.load(line[:, None] + ids, mask=inside & ~unknown, other=float("-inf"))
        count = count + tl.sum((values != float("-inf")).to(tl.int32), axis=1)
    return count


@triton.jit
def _listed(plan, aim, here, at):
    """(lanes, MAX_SOURCES) ids of the sources in the marker table, from the one at `at` on, and which there are."""
    offsets = aim.first[:, None] + at + tl.arange(0, MAX_SOURCES)[None, :]
    inside = here[:, None] & (offsets < aim.end[:, None])
    ids = tl.load(plan.table_ids[:, None] + offsets, mask=inside, other=-1)
    return ids, inside & (ids != aim.target[:, None])


@triton.jit
def _mask(plan, aim, line, here):
    """Rule the sources out."""
    tl.store(line[:, None] + plan.stops, float("-inf"), mask=here[:, None] & aim.stops)
    for at in range(0, tl.max(tl.where(here, aim.end - aim.first, 0), axis=0), MAX_SOURCES):
        ids, inside = _listed(plan, aim, here, at)
        tl.store(line[:, None] + ids, float("-inf"), mask=inside)


@triton.jit
def _redirect(plan, aim, line, here, temperature, structured, marks_ptr, vocabulary, wide: tl.constexpr):
    """Move the sources' probability to the target, in place; returns the lanes in which it outweighed the target's.

    Where a grammar has masked every token that the edit could make likelier, the row is left unchanged.
    """
    here = here & aim.moves
    sources = tl.max(tl.where(here, aim.end - aim.first, 0), axis=0)
    weights = tl.load(line[:, None] + plan.stops, mask=here[:, None] & aim.stops, other=float("-inf"))
    heaviest = tl.max(weights, axis=1)
    possible = tl.sum((weights != float("-inf")).to(tl.int32), axis=1)
    for at in range(0, sources, MAX_SOURCES):
        ids, inside = _listed(plan, aim, here, at)
        values = tl.load(line[:, None] + ids, mask=inside, other=float("-inf"))
        heaviest = tl.maximum(heaviest, tl.max(values, axis=1))
        possible = possible + tl.sum((values != float("-inf")).to(tl.int32), axis=1)
    greedy = temperature < _GREEDY
    scale = tl.where(greedy, 1.0, temperature)
    ruled_out = heaviest == float("-inf")
    top = tl.where(ruled_out, 0.0, heaviest)
    total = tl.sum(tl.exp((weights - top[:, None]) / scale[:, None]), axis=1)
    for at in range(0, sources, MAX_SOURCES):
        ids, inside = _listed(plan, aim, here, at)
        values = tl.load(line[:, None] + ids, mask=inside, other=float("-inf"))
        total = total + tl.sum(tl.exp((values - top[:, None]) / scale[:, None]), axis=1)
    mass = tl.where(greedy | ruled_out, heaviest, top + scale * tl.log(tl.where(ruled_out, 1.0, total)))

    aimed = here & (aim.target >= 0)
    own = tl.load(line + aim.target, mask=aimed, other=float("-inf"))
    unchanged = aimed & structured & (own == float("-inf"))
    suppressed = here & ~aimed
    if any_lane(suppressed & structured):
        others = _count_finite(line, marks_ptr, vocabulary, suppressed & structured, wide) - possible
        unchanged = unchanged | (suppressed & structured & (others == 0))
    changed = here & ~unchanged
    tl.debug_barrier()  # all threads have read the sources
    _mask(plan, aim, line, changed)
    if any_lane(suppressed):
        tl.debug_barrier()  # all threads see them masked
        own = tl.where(suppressed, _likeliest(line, marks_ptr, vocabulary, suppressed, wide), own)
    larger, smaller = tl.maximum(own, mass), tl.minimum(own, mass)
    moved = tl.where(greedy, larger, _sum(larger, smaller, scale))
    tl.store(line + aim.target, moved, mask=aimed & changed)
    return changed & (mass > own)


@triton.jit
def _edit(plan, bounds, automaton, line, here, temperature, structured, marks_ptr, vocabulary, wide: tl.constexpr):
    """Carry out the action of one row per lane; returns the token to force, or NOT_FORCED, and the redirects fired."""
    header, progress, script = plan.header, automaton.progress, automaton.script
    scripted = here & (script.kind != SCRIPT_NONE)
    token = tl.where(scripted, text_at(plan, script.at, scripted), NOT_FORCED)
    logit = tl.load(line + token, mask=scripted & structured, other=0.0)
    forced = tl.where(logit == float("-inf"), NOT_FORCED, token)

    count = progress.counted - progress.first_token
    at_cap = (bounds.cap >= 0) & (count >= bounds.cap - header.cap_text_size)
    spent = (header.per_block == 0) & ((script.ended == ENDED_CAP) | (script.ended == ENDED_LOOP) | at_cap)
    outside = here & ~scripted & (progress.phase != PHASE_THINKING)
    bars = outside & ((bounds.cap == 0) | spent)
    if any_lane(bars):
        offsets = plan.table_ids + plan.table.sources + 2 * progress.state
        first = tl.load(offsets, mask=bars, other=0)
        end = tl.load(offsets + 1, mask=bars, other=0)
        _mask(plan, opening(plan, first, end), line, bars)

    inside = here & ~scripted & (progress.phase == PHASE_THINKING)
    fired = here & ~here
    if any_lane(inside):
        aim = aim_of(plan, bounds, progress)
        fired = _redirect(plan, aim, line, inside, temperature, structured, marks_ptr, vocabulary, wide)
    return forced, fired


@triton.jit
def _steer(plan, bounds, automaton, until, here, marks_ptr, vocabulary):
    """`ThinkingAutomaton.steer` in the lanes that are `here`."""
    phase, kind = automaton.progress.phase, automaton.script.kind
    before = phase == PHASE_BEFORE
    goes_on = (phase == PHASE_THINKING) & ((kind == SCRIPT_NONE) | (kind == SCRIPT_WAIT))
    longer = here & (until >= 0) & (goes_on | (before & (kind != SCRIPT_NONE)))
    now = here & (until < 0) & (goes_on | before)
    cap = tl.where(longer & (bounds.cap >= 0), tl.maximum(bounds.cap, until), bounds.cap)
    floor = tl.where(longer, until, bounds.floor)
    bounds = DeviceBounds(tl.where(now, 0, cap), tl.where(now, 0, floor))
    armed = arm(plan, bounds, automaton, marks_ptr, vocabulary)
    return bounds, select_automaton(longer | now, armed, automaton)


@triton.jit(
    do_not_specialize=["rows"],
    do_not_specialize_on_alignment=[
        "slots_ptr",
        "positions_ptr",
        "inputs_ptr",
        "prompts_ptr",
        "lengths_ptr",
        "forced_ptr",
    ],
)
def step(
    logits_ptr,  # float32, (rows, vocabulary)
    logits_stride,
    vocabulary,
    slots_ptr,  # [rows] the slot of each row's request
    positions_ptr,  # [rows] the row's position among the rows of its request
    inputs_ptr,  # [rows] the row's input token: at position 0 the last committed one, then the drafts
    rows,
    history_ptr,  # [slots, longest] committed tokens
    history_stride,
    prompts_ptr,  # [slots] tokens of the prompt
    lengths_ptr,  # [slots] committed tokens
    settings_ptr,  # [slots, SETTINGS_WIDTH] int64
    state_ptr,  # [slots, STATE_WIDTH] int32
    runs_ptr,  # [slots, patterns] int32: `LoopWatch.runs`
    fires_ptr,  # [slots, fires_stride] int32: bit p: the token at p came from a redirect
    fires_stride,
    marks_ptr,  # [vocabulary] uint8
    forced_ptr,  # [rows] int32, written: the token to force, NOT_FORCED or NOT_OURS
    lanes: tl.constexpr,
    width: tl.constexpr,  # tokens of a prompt that are scanned together
    wide: tl.constexpr,  # logits of a row that are read together
    patterns: tl.constexpr,  # the longest pattern of a loop
):
    """Advance the state of every request of the batch by its committed tokens, and edit its rows.

    A request has the lane of its first row; the lanes of its other rows are idle. Launch it with one warp: words stored
    here are loaded again further down, which threads of another warp would do at another time.
    """
    tl.static_assert(LAYOUT != "")  # see `layout.LAYOUT`
    row = tl.program_id(0) * lanes + tl.arange(0, lanes)
    inside = row < rows
    slot = tl.load(slots_ptr + row, mask=inside, other=0).to(tl.int64)
    position = tl.load(positions_ptr + row, mask=inside, other=1)
    settings = settings_ptr + slot * SETTINGS_WIDTH
    address = tl.load(settings + SETTING_PLAN, mask=inside, other=0)
    tl.store(forced_ptr + row, NOT_OURS, mask=inside & (address == 0))
    here = inside & (position == 0) & (address != 0)
    if any_lane(here):
        plan = load_plan(address, tl.load(settings + SETTING_TABLE, mask=here, other=0), here)
        state = state_ptr + slot * STATE_WIDTH
        history = history_ptr + slot * history_stride
        inputs = inputs_ptr + row
        length = tl.load(lengths_ptr + slot, mask=here, other=0).to(tl.int32)
        runs, loops = runs_ptr + slot * patterns, here & (plan.header.loop > 0)
        automaton = load_automaton(state, runs, here, loops, patterns)
        bounds = DeviceBounds(*load_words(state + BOUNDS, here, len(DeviceBounds._fields)))
        last_step = LastStep(*load_words(state + LAST_STEP, here, len(LastStep._fields)))
        occupancy = Occupancy(*load_words(state + OCCUPANCY, here, len(Occupancy._fields)))
        prompt, seen, steers = occupancy.prompt, occupancy.seen, occupancy.steers
        step_rows = last_step.rows

        occupant = tl.load(settings + SETTING_OCCUPANT, mask=here, other=0).to(tl.int32)
        fresh = here & (occupancy.occupant != occupant)
        if any_lane(fresh):
            prompt = tl.where(fresh, tl.load(prompts_ptr + slot, mask=fresh, other=0).to(tl.int32), prompt)
            phase = initial_phase(plan, history, prompt, fresh, marks_ptr, vocabulary, width)
            last = tl.load(history + prompt - 1, mask=fresh & (prompt > 0), other=-1)
            cap = tl.where(fresh, plan.header.cap, bounds.cap)
            bounds = DeviceBounds(cap, tl.where(fresh, plan.header.floor, bounds.floor))
            begun = arm(plan, bounds, begin(plan, phase, last, patterns), marks_ptr, vocabulary)
            automaton = select_automaton(fresh, begun, automaton)
            seen = tl.where(fresh, prompt, seen)
            step_rows = tl.where(fresh, 0, step_rows)
            steers = tl.where(fresh, 0, steers)

        left = here & (seen < length)
        while any_lane(left):
            token = tl.load(history + seen, mask=left, other=-1)
            since = seen - last_step.start
            known = (since >= 0) & (since < step_rows)
            fired = ((last_step.fired >> tl.where(known, since, 0)) & 1) == 1
            earlier = earlier_tokens(plan, history, length, inputs, seen, patterns)
            advanced, took = advance(plan, bounds, automaton, token, earlier, known, fired, marks_ptr, vocabulary)
            automaton = select_automaton(left, advanced, automaton)
            word = fires_ptr + slot * fires_stride + seen // 32
            opened = left & ((seen % 32 == 0) | (seen == prompt))  # the word still holds an earlier occupant's bits
            bits = tl.load(word, mask=left & took & ~opened, other=0)
            tl.store(word, tl.where(took, bits | (1 << (seen % 32)), 0), mask=left & (took | opened))
            seen = tl.where(left, seen + 1, seen)
            left = here & (seen < length)

        requested = tl.load(settings + SETTING_STEERS, mask=here, other=0).to(tl.int32)
        due = here & (steers < requested)
        while any_lane(due):
            until = tl.load(settings + SETTING_UNTIL + steers, mask=due, other=0).to(tl.int32)
            bounds, automaton = _steer(plan, bounds, automaton, until, due, marks_ptr, vocabulary)
            tl.store(state + STEERED_AT + steers, seen, mask=due)
            steers = tl.where(due, steers + 1, steers)
            due = here & (steers < requested)

        store_automaton(state, runs, automaton, here, loops, patterns)
        store_words(state + BOUNDS, bounds, here)
        store_words(state + OCCUPANCY, Occupancy(occupant, prompt, seen, steers), here)

        bits = tl.load(settings + SETTING_TEMPERATURE, mask=here, other=0)
        temperature = bits.to(tl.int32).to(tl.float32, bitcast=True)
        structured = tl.load(settings + SETTING_STRUCTURED, mask=here, other=0) != 0
        fired_rows = tl.where(here, 0, 0)
        count = fired_rows
        ahead = here
        while any_lane(ahead):
            line = logits_ptr + (row + count).to(tl.int64) * logits_stride
            forced, fired = _edit(
                plan, bounds, automaton, line, ahead, temperature, structured, marks_ptr, vocabulary, wide
            )
            tl.store(forced_ptr + row + count, forced, mask=ahead)
            fired_rows = fired_rows | tl.where(ahead & fired, 1 << count, 0)
            count = tl.where(ahead, count + 1, count)
            more = ahead & (row + count < rows)
            ahead = more & (tl.load(positions_ptr + row + count, mask=more, other=0) == count)
            if any_lane(ahead):
                token = tl.load(inputs + count, mask=ahead, other=-1).to(tl.int32)
                earlier = earlier_tokens(plan, history, length, inputs, length - 1 + count, patterns)
                automaton, took = advance(plan, bounds, automaton, token, earlier, ahead, fired, marks_ptr, vocabulary)
        store_words(state + LAST_STEP, LastStep(seen, count, fired_rows), here)


@triton.jit(do_not_specialize=["rows", "unknown_count"], do_not_specialize_on_alignment=["forced_ptr", "unknown_ptr"])
def fill(
    logits_ptr,
    logits_stride,
    vocabulary,
    forced_ptr,  # [rows] written by `step`
    rows,
    unknown_ptr,  # [unknown_count] ids without a token
    unknown_count,
    rows_each: tl.constexpr,
    width: tl.constexpr,
    span: tl.constexpr,
):
    """Write the forced rows; mask ids without a token in the other rows of requests with a budget.

    A program handles `span` ids of `rows_each` rows, `width` at a time.
    """
    row = tl.program_id(0) * rows_each + tl.arange(0, rows_each)
    token = tl.load(forced_ptr + row, mask=row < rows, other=NOT_OURS)
    line = logits_ptr + row.to(tl.int64) * logits_stride
    start = tl.program_id(1) * span
    forced = token >= 0
    if any_lane(forced):
        for first in range(start, tl.minimum(start + span, vocabulary), width):
            ids = first + tl.arange(0, width)[None, :]
            values = tl.where(ids == token[:, None], 0.0, float("-inf"))
            tl.store(line[:, None] + ids, values, mask=forced[:, None] & (ids < vocabulary))
    free = token == NOT_FORCED
    if (start == 0) & any_lane(free):
        for first in range(0, unknown_count, width):
            index = first + tl.arange(0, width)
            ids = tl.load(unknown_ptr + index, mask=index < unknown_count, other=0)[None, :]
            tl.store(line[:, None] + ids, float("-inf"), mask=free[:, None] & (index < unknown_count)[None, :])
