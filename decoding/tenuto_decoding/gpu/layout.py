"""The memory layout of plans, marker tables, settings and state on the device, shared by the host and the kernels.

Plain Python, without torch and Triton. Words on the device are 32-bit integers, except the settings, which hold
addresses and have 64 bits. The fields of a NamedTuple here are consecutive words in that order: ints on the host, and
in a kernel vectors with one value per lane. `Any` in their annotations covers both.
"""

from collections.abc import Iterable
from enum import IntEnum, IntFlag
from itertools import chain
from typing import Any, NamedTuple

from ..errors import UnsupportedEngine
from ..matching import Ids, MarkerTable, Step
from ..plan import ThinkingPlan
from ..worker_messages import MAX_STEERS

#: Longest text that leaves thinking, in symbols: where its tokens begin is one bit each of an int32.
MAX_MARKER = 31
#: Largest number of a state of the search for markers, which is a part of a word.
LAST_STATE = 2**12 - 1
#: The part of a state's flags that is its depth.
DEPTH = 255
#: Most tokens in one plan that end a reply.
MAX_SOURCES = 32
#: Offsets from here on are indices into the marker table instead of the plan.
IN_TABLE = 2**28
#: Most rows of a request in one step, drafts and one more: which of them fired is one bit each of an int32.
MAX_ROWS = 31
#: Larger than any count that is reached; keeps sums within 32 bits.
ENDLESS = 2**30


class PlanHeader(NamedTuple):
    """The first words of a packed plan. An offset is an index into the packed plan.

    The plan holds two closings, with and without the cap text: newline, cap text, end marker, answer prefix. A script
    that starts after the newline leaves the newline out.
    """

    start: Any  # offset of the start marker
    start_size: Any
    stops: Any  # offset of the stop tokens
    stop_count: Any
    closing: Any  # offset of the closing with the cap text
    short_closing: Any  # offset of the closing without it
    newline_size: Any
    cap_text_size: Any
    end_size: Any
    prefix_size: Any  # of the answer prefix
    no_thinking: Any  # offset of what takes the place of thinking where the cap is 0
    no_thinking_size: Any
    nothing: Any  # offset of the closing of thinking without text where the cap is 0
    nothing_size: Any
    nothing_line: Any  # the same after a newline
    nothing_line_size: Any
    at_openers: Any  # whether a text that leaves thinking is replaced by the end marker
    waits: Any  # offset of the pairs (offset, size), one per wait text
    wait_count: Any
    num_waits: Any
    landing: Any
    per_block: Any
    opening: Any  # an Opening
    cap: Any  # -1 for none
    floor: Any
    loop: Any


class TableHeader(NamedTuple):
    """The first words of a packed marker table. An offset is an index into the packed table."""

    classes: Any  # offset of the classes, one per id of the vocabulary
    steps: Any  # offset of the steps by class and state, packed
    states: Any  # number of states
    outside: Any
    inside: Any
    prompt: Any
    longest: Any
    flags: Any  # offset of one word per state: its depth, whether an end marker has begun, whether it is certain
    sources: Any  # offset of two offsets per state, of its `ends` and `openers`, and one more for the end of the last
    rests: Any  # offset of two words per state: offset and size of what completes the end marker


class StepBits(IntEnum):
    """First bit of each part of a packed step."""

    STATE = 0
    HIT = 12
    SIZE = 15
    LENGTH = 21


class Flag(IntFlag):
    """Parts of a state's flags, above its depth."""

    BEGUN = 256
    CERTAIN = 512


class Opening(IntEnum):
    """What is forced at the start of a reply whose prompt has not opened thinking."""

    NOTHING = 0
    START = 1
    ANSWER = 2


class Setting(IntEnum):
    """Columns of a slot's settings, which only the host writes; 64 bits each."""

    PLAN = 0  # address of the packed plan; 0 for a slot without a budget
    OCCUPANT = 1  # number of the request in the slot; state of another occupant is void
    TEMPERATURE = 2  # bits of a float32
    STRUCTURED = 3  # whether a grammar may rule out tokens
    TABLE = 4  # address of the packed marker table
    STEERS = 5  # how many times the request was steered
    UNTIL = 6  # first of MAX_STEERS columns: the new floor, or ANSWER_NOW


SETTINGS_WIDTH = Setting.UNTIL + MAX_STEERS
ANSWER_NOW = -1


class Occupancy(NamedTuple):
    """Which request the state belongs to, and how far it has been followed."""

    occupant: Any  # as Setting.OCCUPANT
    prompt: Any  # tokens of the prompt; the engine's own number is in the host's memory
    seen: Any  # tokens of the sequence that the automaton has taken, prompt included
    steers: Any  # how many steers were carried out


class DeviceBounds(NamedTuple):
    """Cap (-1 for none) and floor in force: the plan's, until the request is steered."""

    cap: Any
    floor: Any


class Progress(NamedTuple):
    """What the automaton knows of the text. Names as in `ThinkingAutomaton`."""

    phase: Any  # a DevicePhase
    counted: Any
    waits: Any
    first_token: Any
    first_wait: Any
    state: Any
    offsets: Any
    last: Any


class DeviceScript(NamedTuple):
    """The text that is being forced, and why thinking ends."""

    kind: Any  # a ScriptKind
    at: Any  # offset in the plan of the next token
    stop: Any  # offset after the last token
    ended: Any  # an EndReason: of the last block of thinking, or of the one that the script ends


class LastStep(NamedTuple):
    """The redirects of the latest step, whose tokens are not committed yet."""

    start: Any  # length of the sequence then: the redirect of row i decides the token at start + i
    rows: Any
    fired: Any  # bit i: the redirect of row i fired


class SlotState(NamedTuple):
    """A slot's state, which only the kernels write (and the host, to restore a preempted request)."""

    occupancy: Occupancy
    bounds: DeviceBounds
    progress: Progress
    script: DeviceScript
    last_step: LastStep

    @classmethod
    def of(cls, words: list[int]) -> "SlotState":
        """The state whose words these are."""
        return cls(
            Occupancy(*words[OCCUPANCY:BOUNDS]),
            DeviceBounds(*words[BOUNDS:PROGRESS]),
            Progress(*words[PROGRESS:SCRIPT]),
            DeviceScript(*words[SCRIPT:LAST_STEP]),
            LastStep(*words[LAST_STEP:STEERED_AT]),
        )


# First column of each part of a slot's state.
OCCUPANCY = 0
BOUNDS = OCCUPANCY + len(Occupancy._fields)
PROGRESS = BOUNDS + len(DeviceBounds._fields)
SCRIPT = PROGRESS + len(Progress._fields)
LAST_STEP = SCRIPT + len(DeviceScript._fields)
#: First of MAX_STEERS columns: length of the sequence when each steer was carried out.
STEERED_AT = LAST_STEP + len(LastStep._fields)
STATE_WIDTH = STEERED_AT + MAX_STEERS

#: All names in their order. Kernels refer to it, so that Triton's cache has none that was compiled for another layout.
LAYOUT = " ".join(
    name
    for part in (PlanHeader, TableHeader, Occupancy, DeviceBounds, Progress, DeviceScript, LastStep)
    for name in part._fields
)


class DevicePhase(IntEnum):
    """`Phase` as a number."""

    BEFORE = 0
    THINKING = 1
    ANSWER = 2


class EndReason(IntEnum):
    """Why the last block of thinking ended: `EndedBy` as a number."""

    NONE = 0
    MODEL = 1
    CAP = 2
    STOP_TOKEN = 3
    LOOP = 4


class ScriptKind(IntEnum):
    """What is being forced. The kernels rely on the order: the closings come last."""

    NONE = 0
    MARKER = 1  # a marker or the rest of one; not counted as thinking
    WAIT = 2  # counted
    CLOSING = 3  # closes the thinking at the cap; its cap text is counted
    LOOP_CLOSING = 4  # the same, in a loop


class Mark(IntFlag):
    """Properties of a token id, in one byte per id of the vocabulary."""

    LINE_END = 1
    LANDING = 2
    BOUNDARY = 4
    UNKNOWN = 8


def pack_plan(plan: ThinkingPlan) -> list[int]:
    """The plan as words: the header, then its texts. `landings`, `line_ends` and `boundaries` are marks of the ids.

    Raises:
        UnsupportedEngine: for markers or stop tokens beyond what the kernels hold.
        ValueError: for a plan that only counts: it needs no device.
    """
    if not plan.enforced:
        raise ValueError("a plan that is not enforced has nothing to do on the device")
    check_plan(plan)
    texts: list[int] = []

    def place(ids: Ids) -> int:
        """Append a text; returns its offset."""
        texts.extend(ids)
        return len(PlanHeader._fields) + len(texts) - len(ids)

    tail = plan.end.ids + plan.answer_prefix
    waits = [(place(wait), len(wait)) for wait in plan.waits]
    nothing, nothing_line = (plan.closing_of_nothing(after_newline=after) for after in (False, True))
    cap = plan.max_thinking_tokens
    header = PlanHeader(
        start=place(plan.start.ids),
        start_size=len(plan.start.ids),
        stops=place(plan.stops),
        stop_count=len(plan.stops),
        closing=place(plan.newline + plan.cap_text + tail),
        short_closing=place(plan.newline + tail),
        newline_size=len(plan.newline),
        cap_text_size=len(plan.cap_text),
        end_size=len(plan.end.ids),
        prefix_size=len(plan.answer_prefix),
        no_thinking=place(plan.no_thinking),
        no_thinking_size=len(plan.no_thinking),
        nothing=place(nothing),
        nothing_size=len(nothing),
        nothing_line=place(nothing_line),
        nothing_line_size=len(nothing_line),
        at_openers=int(plan.closes_at_openers),
        waits=place(tuple(word for pair in waits for word in pair)),
        wait_count=len(plan.waits),
        num_waits=plan.num_waits,
        landing=min(plan.landing_tokens, ENDLESS),
        per_block=int(plan.scope == "block"),
        opening=_opening(plan),
        cap=-1 if cap is None else min(cap, ENDLESS),
        floor=min(plan.min_thinking_tokens, ENDLESS),
        loop=min(plan.loop_tokens, ENDLESS),
    )
    return [*header, *texts]


def pack_table(table: MarkerTable, vocabulary: int) -> list[int]:
    """The search as words: the header, then its parts.

    Args:
        vocabulary: the width of the logits.
    """
    check_table(table)
    words = [0] * len(TableHeader._fields)

    def place(part: Iterable[int]) -> int:
        """Append a part; returns its offset."""
        offset = len(words)
        words.extend(part)
        return offset

    classes = [0] * vocabulary
    for token, number in table.classes.items():
        if token < vocabulary:
            classes[token] = number
    sources = [
        place(token for token in ids if token < vocabulary)
        for of_state in zip(table.ends, table.openers, strict=True)
        for ids in of_state
    ]
    sources.append(len(words))
    rests = [(place(rest), len(rest)) for rest in table.rests]
    words[: len(TableHeader._fields)] = TableHeader(
        classes=place(classes),
        steps=place(_pack_step(step) for row in table.steps for step in row),
        states=len(table.depths),
        outside=table.outside,
        inside=table.inside,
        prompt=table.prompt,
        longest=table.longest,
        flags=place(map(_flags, table.depths, table.is_begun, table.is_certain)),
        sources=place(sources),
        rests=place(chain.from_iterable(rests)),
    )
    return words


def _pack_step(step: Step) -> int:
    parts = zip((StepBits.STATE, StepBits.HIT, StepBits.SIZE, StepBits.LENGTH), step, strict=True)
    return sum(number << first for first, number in parts)


def _flags(depth: int, is_begun: bool, is_certain: bool) -> int:
    return depth | is_begun * Flag.BEGUN | is_certain * Flag.CERTAIN


def _opening(plan: ThinkingPlan) -> Opening:
    if plan.opens_thinking:
        return Opening.START
    return Opening.ANSWER if plan.skips_thinking else Opening.NOTHING


def check_plan(plan: ThinkingPlan) -> None:
    """Refuse a plan that the kernels cannot hold. All plans of one engine share the markers and tokens checked here.

    Raises:
        UnsupportedEngine: naming the marker or the number.
    """
    check_table(plan.table)
    if len(plan.stops) > MAX_SOURCES:
        raise UnsupportedEngine(f"{len(plan.stops)} tokens end a reply; the device supports at most {MAX_SOURCES}")


def check_table(table: MarkerTable) -> None:
    """Refuse markers that the kernels cannot hold. Raises UnsupportedEngine."""
    longest = max(table.depths[table.inside : table.prompt])
    if longest > MAX_MARKER:
        raise UnsupportedEngine(
            f"a text that ends thinking has {longest} symbols (added tokens, and bytes of other text); "
            f"the device supports at most {MAX_MARKER}"
        )
    if len(table.depths) > LAST_STATE + 1:
        raise UnsupportedEngine(
            f"the markers and openers have {len(table.depths)} beginnings; the device supports at most {LAST_STATE + 1}"
        )


def mark_tokens(
    size: int,
    *,
    line_ends: Iterable[int] = (),
    landings: Iterable[int] = (),
    boundaries: Iterable[int] = (),
    unknown: Iterable[int] = (),
) -> bytearray:
    """The marks of the ids below `size`, the width of the logits; larger ids are ignored."""
    marks = bytearray(size)
    for mark, ids in (
        (Mark.LINE_END, line_ends),
        (Mark.LANDING, landings),
        (Mark.BOUNDARY, boundaries),
        (Mark.UNKNOWN, unknown),
    ):
        for token in ids:
            if token < size:
                marks[token] |= mark
    return marks
