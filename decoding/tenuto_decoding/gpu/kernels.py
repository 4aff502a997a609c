"""The automaton's state and actions on the device, as two Triton kernels.

`step` moves the state on with the committed tokens. Over the draft tokens of a step a copy runs ahead, since what row
i + 1 must do depends on what row i found. It also carries out the redirects, which touch a few logits of a row; `fill`
writes the rows that are forced, which is wide and has no order.

With TRITON_INTERPRET=1, set before triton is first imported, the kernels work on CPU tensors.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# What Triton compiles holds its own kinds of values only, and it takes an annotation of a kernel for a declaration.

import triton
import triton.language as tl

from .device_automaton import (
    BEFORE,
    BY_CAP,
    BY_LOOP,
    IN_WAIT,
    NO_SCRIPT,
    THINKING,
    UNKNOWN,
    Bounds,
    advance,
    aim_of,
    any_lane,
    arm,
    begin,
    choose,
    earlier_tokens,
    initial_phase,
    load_plan,
    load_run,
    marks_of,
    store_run,
)
from .layout import SETTINGS_WIDTH, STATE_WIDTH, Header, Setting, State

_CAP, _FLOOR = tl.constexpr(int(Header.CAP)), tl.constexpr(int(Header.FLOOR))
_S_PLAN, _S_OCCUPANT, _S_TEMPERATURE, _S_STRUCTURED, _S_STEERING, _S_UNTIL = (
    tl.constexpr(int(column)) for column in Setting
)
_OCCUPANT, _SEEN = tl.constexpr(int(State.OCCUPANT)), tl.constexpr(int(State.SEEN))
_CAP_NOW, _FLOOR_NOW, _ASKED, _ASKED_ROWS, _ASKED_FIRED, _PROMPT, _STEERING, _STEERED_AT = (
    tl.constexpr(int(column)) for column in list(State)[14:]
)
_SETTINGS_WIDTH = tl.constexpr(SETTINGS_WIDTH)
_STATE_WIDTH = tl.constexpr(STATE_WIDTH)
_GREEDY = tl.constexpr(1e-5)  # as in `logits.GREEDY`

#: In `forced`: a row that is not ours; one that is ours and not forced.
NOT_OURS, NOT_FORCED = tl.constexpr(-2), tl.constexpr(-1)


@triton.jit
def _sum(large, small, scale):
    """scale * log(exp(large / scale) + exp(small / scale)), of numbers of which the first is not smaller."""
    top = tl.where(large == float("-inf"), 0.0, large)
    return top + scale * tl.log(tl.exp((large - top) / scale) + tl.exp((small - top) / scale))


@triton.jit
def _likeliest(line, marks_ptr, vocabulary, here, wide: tl.constexpr):
    """The largest logit of each row; ids without a token stand out."""
    best = tl.where(here, float("-inf"), float("-inf"))
    for first in range(0, vocabulary, wide):
        ids = first + tl.arange(0, wide)[None, :]
        inside = (ids < vocabulary) & here[:, None]
        unknown = (marks_of(marks_ptr, vocabulary, ids, inside) & UNKNOWN) != 0
        values = tl.load(line[:, None] + ids, mask=inside & ~unknown, other=float("-inf"))
        best = tl.maximum(best, tl.max(values, axis=1))
    return best


@triton.jit
def _redirect(plan, bounds, run, line, here, temperature, structured, marks_ptr, vocabulary, wide: tl.constexpr):
    """Move the sources' probability to the target, in place; returns the lanes in which it outweighed the target's.

    Where a grammar leaves nothing that the edit could bring in, the row stays as it is.
    """
    aim = aim_of(plan, bounds, run)
    here = here & aim.moves
    from_gate = here & aim.from_gate
    sources = here[:, None] & aim.sources
    weights = tl.load(line[:, None] + plan.sources, mask=sources, other=float("-inf"))
    gate = tl.load(line + plan.gate_id, mask=from_gate, other=float("-inf"))
    tl.store(line[:, None] + plan.sources, float("-inf"), mask=sources)
    tl.store(line + plan.gate_id, float("-inf"), mask=from_gate)
    aimed = here & (aim.target >= 0)
    own = tl.load(line + aim.target, mask=aimed, other=float("-inf"))
    if any_lane(here & ~aimed):
        tl.debug_barrier()  # the sources are gone for all threads
        own = tl.where(aimed, own, _likeliest(line, marks_ptr, vocabulary, here & ~aimed, wide))
        tl.debug_barrier()
    stays_out = here & structured & (own == float("-inf"))
    tl.store(line[:, None] + plan.sources, weights, mask=sources & stays_out[:, None])
    tl.store(line + plan.gate_id, gate, mask=from_gate & stays_out)

    greedy = temperature < _GREEDY
    scale = tl.where(greedy, 1.0, temperature)
    heaviest = tl.maximum(tl.max(weights, axis=1), gate)
    top = tl.where(heaviest == float("-inf"), 0.0, heaviest)
    total = tl.sum(tl.exp((weights - top[:, None]) / scale[:, None]), axis=1) + tl.exp((gate - top) / scale)
    mass = tl.where(greedy, heaviest, top + scale * tl.log(total))
    larger, smaller = tl.maximum(own, mass), tl.minimum(own, mass)
    moved = tl.where(greedy, larger, _sum(larger, smaller, scale))
    tl.store(line + aim.target, moved, mask=aimed & ~stays_out)
    return here & ~stays_out & (mass > own)


@triton.jit
def _edit(plan, bounds, run, line, here, temperature, structured, marks_ptr, vocabulary, wide: tl.constexpr):
    """Carry out the action of one row for each lane; returns the token to force, or -1, and which redirects fired."""
    scripted = here & (run.script != NO_SCRIPT)
    token = tl.load(plan.ids + run.at, mask=scripted, other=-1)
    logit = tl.load(line + token, mask=scripted & structured, other=0.0)
    forced = tl.where(logit == float("-inf"), NOT_FORCED, token)

    cap, count = bounds.cap, run.tokens - run.base
    reached = (run.ended == BY_CAP) | (run.ended == BY_LOOP) | ((cap >= 0) & (count >= cap - plan.cap_text))
    spent = ~plan.per_block & reached
    outside = here & ~scripted & (run.phase != THINKING)
    bars = outside & ((cap == 0) | spent) & (run.matched == plan.start_gate)
    opener = tl.load(plan.ids + plan.start + plan.start_gate, mask=bars, other=0)
    tl.store(line + opener, float("-inf"), mask=bars)

    inside = here & ~scripted & (run.phase == THINKING)
    fired = here & ~here
    if any_lane(inside):
        fired = _redirect(plan, bounds, run, line, inside, temperature, structured, marks_ptr, vocabulary, wide)
    return forced, fired


@triton.jit(
    do_not_specialize=["rows"],
    do_not_specialize_on_alignment=[
        "slots_ptr",
        "places_ptr",
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
    places_ptr,  # [rows] the row's place among those of its request
    inputs_ptr,  # [rows] the token fed in at the row: of place 0 the last committed one, of further places the drafts
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
    width: tl.constexpr,  # tokens of a prompt that are looked at together
    wide: tl.constexpr,  # logits of a row that are
    patterns: tl.constexpr,  # the longest pattern of a loop
):
    """Advance the state of every request of the batch by what was committed, and edit its rows.

    A request is the lane of its first row; the lanes of its other rows are idle. To be launched with one warp: what is
    read here is written further down, and several warps would read it at different times.
    """
    row = tl.program_id(0) * lanes + tl.arange(0, lanes)
    inside = row < rows
    slot = tl.load(slots_ptr + row, mask=inside, other=0).to(tl.int64)
    place = tl.load(places_ptr + row, mask=inside, other=1)
    settings = settings_ptr + slot * _SETTINGS_WIDTH
    address = tl.load(settings + _S_PLAN, mask=inside, other=0)
    tl.store(forced_ptr + row, NOT_OURS, mask=inside & (address == 0))
    here = inside & (place == 0) & (address != 0)
    if any_lane(here):
        plan = load_plan(address, here)
        state = state_ptr + slot * _STATE_WIDTH
        history = history_ptr + slot * history_stride
        length = tl.load(lengths_ptr + slot, mask=here, other=0).to(tl.int32)
        runs, loops = runs_ptr + slot * patterns, here & (plan.loop > 0)
        run = load_run(state, runs, here, loops, patterns)
        cap = tl.load(state + _CAP_NOW, mask=here, other=-1)
        floor = tl.load(state + _FLOOR_NOW, mask=here, other=0)
        bounds = Bounds(cap, floor)
        seen = tl.load(state + _SEEN, mask=here, other=0)
        asked = tl.load(state + _ASKED, mask=here, other=0)
        asked_rows = tl.load(state + _ASKED_ROWS, mask=here, other=0)
        asked_fired = tl.load(state + _ASKED_FIRED, mask=here, other=0)
        steering = tl.load(state + _STEERING, mask=here, other=0)
        prompt = tl.load(state + _PROMPT, mask=here, other=0)

        occupant = tl.load(settings + _S_OCCUPANT, mask=here, other=0).to(tl.int32)
        fresh = here & (tl.load(state + _OCCUPANT, mask=here, other=0) != occupant)
        if any_lane(fresh):
            prompt = tl.where(fresh, tl.load(prompts_ptr + slot, mask=fresh, other=0).to(tl.int32), prompt)
            phase = initial_phase(plan, history, prompt, fresh, marks_ptr, vocabulary, width)
            last = tl.load(history + prompt - 1, mask=fresh & (prompt > 0), other=-1)
            cap = tl.load(plan.ids + _CAP, mask=fresh, other=-1)
            floor = tl.load(plan.ids + _FLOOR, mask=fresh, other=0)
            bounds = Bounds(tl.where(fresh, cap, bounds.cap), tl.where(fresh, floor, bounds.floor))
            run = choose(fresh, arm(plan, bounds, begin(plan, phase, last, patterns), marks_ptr, vocabulary), run)
            seen = tl.where(fresh, prompt, seen)
            asked_rows = tl.where(fresh, 0, asked_rows)
            steering = tl.where(fresh, 0, steering)

        left = here & (seen < length)
        while any_lane(left):
            token = tl.load(history + seen, mask=left, other=-1)
            since = seen - asked
            known = (since >= 0) & (since < asked_rows)
            fired = ((asked_fired >> tl.where(known, since, 0)) & 1) == 1
            earlier = earlier_tokens(plan, history, length, inputs_ptr + row, seen, patterns)
            advanced, begun = advance(plan, bounds, run, token, earlier, known, fired, marks_ptr, vocabulary)
            run = choose(left, advanced, run)
            word = fires_ptr + slot * fires_stride + seen // 32
            opened = left & ((seen % 32 == 0) | (seen == prompt))  # the word still holds an earlier occupant's bits
            bits = tl.load(word, mask=left & begun & ~opened, other=0)
            tl.store(word, tl.where(begun, bits | (1 << (seen % 32)), 0), mask=left & (begun | opened))
            seen = tl.where(left, seen + 1, seen)
            left = here & (seen < length)

        asked_steers = tl.load(settings + _S_STEERING, mask=here, other=0).to(tl.int32)
        steers = here & (steering < asked_steers)
        while any_lane(steers):
            until = tl.load(settings + _S_UNTIL + steering, mask=steers, other=0).to(tl.int32)
            before = run.phase == BEFORE
            goes_on = (run.phase == THINKING) & ((run.script == NO_SCRIPT) | (run.script == IN_WAIT))
            longer = steers & (until >= 0) & (goes_on | (before & (run.script != NO_SCRIPT)))
            now = steers & (until < 0) & (goes_on | before)
            cap = tl.where(longer & (bounds.cap >= 0), tl.maximum(bounds.cap, until), bounds.cap)
            floor = tl.where(longer, until, bounds.floor)
            bounds = Bounds(tl.where(now, 0, cap), tl.where(now, 0, floor))
            run = choose(longer | now, arm(plan, bounds, run, marks_ptr, vocabulary), run)
            tl.store(state + _STEERED_AT + steering, seen, mask=steers)
            steering = tl.where(steers, steering + 1, steering)
            steers = here & (steering < asked_steers)

        store_run(state, runs, run, here, loops, patterns)
        tl.store(state + _CAP_NOW, bounds.cap, mask=here)
        tl.store(state + _FLOOR_NOW, bounds.floor, mask=here)
        tl.store(state + _OCCUPANT, occupant, mask=here)
        tl.store(state + _SEEN, seen, mask=here)
        tl.store(state + _STEERING, steering, mask=here)
        tl.store(state + _PROMPT, prompt, mask=here)

        bits = tl.load(settings + _S_TEMPERATURE, mask=here, other=0)
        temperature = bits.to(tl.int32).to(tl.float32, bitcast=True)
        structured = tl.load(settings + _S_STRUCTURED, mask=here, other=0) != 0
        fired_rows = tl.where(here, 0, 0)
        count = fired_rows
        ahead = here
        while any_lane(ahead):
            line = logits_ptr + (row + count).to(tl.int64) * logits_stride
            forced, fired = _edit(plan, bounds, run, line, ahead, temperature, structured, marks_ptr, vocabulary, wide)
            tl.store(forced_ptr + row + count, forced, mask=ahead)
            fired_rows = fired_rows | tl.where(ahead & fired, 1 << count, 0)
            count = tl.where(ahead, count + 1, count)
            more = ahead & (row + count < rows)
            ahead = more & (tl.load(places_ptr + row + count, mask=more, other=0) == count)
            if any_lane(ahead):
                token = tl.load(inputs_ptr + row + count, mask=ahead, other=-1).to(tl.int32)
                at = length - 1 + count
                earlier = earlier_tokens(plan, history, length, inputs_ptr + row, at, patterns)
                run, begun = advance(plan, bounds, run, token, earlier, ahead, fired, marks_ptr, vocabulary)
        tl.store(state + _ASKED, seen, mask=here)
        tl.store(state + _ASKED_ROWS, count, mask=here)
        tl.store(state + _ASKED_FIRED, fired_rows, mask=here)


@triton.jit(do_not_specialize=["rows", "unknown_count"], do_not_specialize_on_alignment=["forced_ptr", "unknown_ptr"])
def fill(
    logits_ptr,
    logits_stride,
    vocabulary,
    forced_ptr,  # [rows] what `step` wrote
    rows,
    unknown_ptr,  # [unknown_count] ids without a token
    unknown_count,
    rows_each: tl.constexpr,
    width: tl.constexpr,
    span: tl.constexpr,
):
    """Write the rows that are forced; mask ids without a token in our other rows.

    A program sees to `span` ids of `rows_each` rows, `width` at a time.
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
