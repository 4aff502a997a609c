"""The memory layout of plans, settings and state on the device, shared by the host and the kernels.

Plain Python, without torch and Triton. Words on the device are 32-bit integers, except the settings, which hold
addresses and have 64 bits. The fields of a NamedTuple here are consecutive words in that order: ints on the host, and
in a kernel vectors with one value per lane. `Any` in their annotations covers both.
"""

from collections.abc import Iterable
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

from ..errors import UnsupportedEngine
from ..plan import Ids, ThinkingPlan
from ..worker_messages import MAX_STEERS

#: Longest marker in tokens: the prefixes of a marker that the text ends in are one bit each of an int32.
MAX_MARKER = 31
#: Most tokens in one plan that end a reply or leave thinking.
MAX_SOURCES = 32
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
    start_gate: Any
    end: Any  # offset of the end marker
    end_size: Any
    end_gate: Any
    sources: Any  # offset of the stop tokens, which the other tokens that leave thinking follow
    stop_count: Any
    source_count: Any
    closing: Any  # offset of the closing with the cap text
    short_closing: Any  # offset of the closing without it
    newline_size: Any
    cap_text_size: Any
    tail_size: Any  # end marker and answer prefix
    waits: Any  # offset of the pairs (offset, size), one per wait text
    wait_count: Any
    num_waits: Any
    landing: Any
    per_block: Any
    opening: Any  # an Opening
    cap: Any  # -1 for none
    floor: Any
    loop: Any


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
    STEERS = 4  # how many times the request was steered
    UNTIL = 5  # first of MAX_STEERS columns: the new floor, or ANSWER_NOW


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
    tokens: Any
    waits: Any
    first_token: Any
    first_wait: Any
    matched: Any
    prefixes: Any  # bit i: the text ends in the first i + 1 ids of the marker that is looked for
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
    name for part in (PlanHeader, Occupancy, DeviceBounds, Progress, DeviceScript, LastStep) for name in part._fields
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
    cap = plan.max_thinking_tokens
    header = PlanHeader(
        start=place(plan.start.ids),
        start_size=len(plan.start.ids),
        start_gate=plan.start.gate,
        end=place(plan.end.ids),
        end_size=len(plan.end.ids),
        end_gate=plan.end.gate,
        sources=place(plan.stops + plan.also_ends),
        stop_count=len(plan.stops),
        source_count=len(plan.stops) + len(plan.also_ends),
        closing=place(plan.newline + plan.cap_text + tail),
        short_closing=place(plan.newline + tail),
        newline_size=len(plan.newline),
        cap_text_size=len(plan.cap_text),
        tail_size=len(tail),
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


def _opening(plan: ThinkingPlan) -> Opening:
    if plan.opens_thinking:
        return Opening.START
    return Opening.ANSWER if plan.force_start and plan.max_thinking_tokens == 0 else Opening.NOTHING


def check_plan(plan: ThinkingPlan) -> None:
    """Refuse a plan that the kernels cannot hold. All plans of one engine share the markers and tokens checked here.

    Raises:
        UnsupportedEngine: naming the marker or the number.
    """
    for name, marker in (("start", plan.start), ("end", plan.end)):
        if len(marker.ids) > MAX_MARKER:
            raise UnsupportedEngine(
                f"the {name} marker has {len(marker.ids)} tokens; the device supports at most {MAX_MARKER}"
            )
    sources = plan.stops + plan.also_ends
    if len(sources) > MAX_SOURCES:
        raise UnsupportedEngine(
            f"{len(sources)} tokens end a reply or leave its thinking; the device supports at most {MAX_SOURCES}"
        )
    if len({*sources, *plan.end.ids}) < len(sources) + len(set(plan.end.ids)):
        raise UnsupportedEngine(f"the tokens {sources} end a reply or leave its thinking; each may be named only once")


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
