"""How plans, settings and state lie in device memory: the one place that the kernels and their host side share.

Plain Python, as the plans are. All words on the device are 32-bit integers, but for the settings, which hold addresses.
"""

from collections.abc import Iterable
from enum import IntEnum, IntFlag

from ..errors import UnsupportedEngine
from ..plan import Ids, ThinkingPlan
from ..worker_messages import MAX_STEERS

#: Longest marker: the ids of one that the text ends in are a bit each of an int32.
MAX_MARKER = 31
#: Most tokens that may end a reply or leave thinking, in one plan.
MAX_SOURCES = 32
#: Most rows of a request in one step, drafts and the one after them: which of them fired is a bit each of an int32.
MAX_ROWS = 31
#: Counts from here on are never reached; keeps sums within 32 bits.
ENDLESS = 2**30


class Header(IntEnum):
    """The words that a packed plan begins with; what they call a place is an offset into the packed plan.

    There are two closings, with and without the cap text: newline, cap text, end marker, answer prefix. A script that
    starts behind the newline leaves it out.
    """

    START = 0  # place of the start marker
    START_SIZE = 1
    START_GATE = 2
    END = 3  # place of the end marker
    END_SIZE = 4
    END_GATE = 5
    SOURCES = 6  # place of the stops, followed by what else leaves thinking
    STOPS = 7  # how many of them are stops
    SOURCE_COUNT = 8
    CLOSING = 9  # place of the closing with cap text
    SHORT_CLOSING = 10  # place of the one without
    NEWLINE_SIZE = 11
    CAP_TEXT_SIZE = 12
    TAIL_SIZE = 13  # end marker and answer prefix
    WAITS = 14  # place of pairs: place and size of each wait text
    WAIT_COUNT = 15
    NUM_WAITS = 16
    LANDING = 17
    PER_BLOCK = 18
    OPENING = 19  # how a reply begins that the prompt has not begun to think: an Opening
    CAP = 20  # -1 for none
    FLOOR = 21
    LOOP = 22


class Opening(IntEnum):
    """What is forced at the beginning of a reply that has not begun to think."""

    NOTHING = 0
    START = 1
    ANSWER = 2


class Setting(IntEnum):
    """Columns of what the host says of a slot; 64 bits each, written by the host alone."""

    PLAN = 0  # address of the packed plan; 0 for a slot without a budget
    OCCUPANT = 1  # number of the request in the slot; the state of another one is void
    TEMPERATURE = 2  # bits of a float32
    STRUCTURED = 3  # whether a grammar may rule tokens out
    STEERING = 4  # how often it was steered
    UNTIL = 5  # the first of MAX_STEERS columns: the new floor, or ANSWER_NOW


SETTINGS_WIDTH = Setting.UNTIL + MAX_STEERS
ANSWER_NOW = -1


class State(IntEnum):
    """Columns of a slot's state, written by the kernels alone (and to bring back a preempted request)."""

    OCCUPANT = 0
    SEEN = 1  # tokens of the sequence, prompt included, that the automaton has taken
    PHASE = 2
    TOKENS = 3
    WAITS = 4
    BASE = 5
    WAITS_BASE = 6
    MATCHED = 7
    PREFIXES = 8  # bit i: the text ends in the first i + 1 ids of the marker that is looked for
    LAST = 9
    ENDED = 10
    SCRIPT = 11  # a ScriptKind
    AT = 12  # place in the plan of the script's next token
    STOP = 13  # place behind its last
    CAP = 14
    FLOOR = 15
    ASKED = 16  # sequence length of the last step: a redirect of its row i decides the token at ASKED + i
    ASKED_ROWS = 17
    ASKED_FIRED = 18  # bit i: the redirect of row i fired
    PROMPT = 19  # tokens of the prompt; the engine's own number lies in the host's memory
    STEERING = 20  # how many steers were carried out
    STEERED_AT = 21  # the first of MAX_STEERS columns: sequence length at which each of them was


STATE_WIDTH = State.STEERED_AT + MAX_STEERS


class InPhase(IntEnum):
    """Phases as numbers."""

    BEFORE = 0
    THINKING = 1
    ANSWER = 2


class Ended(IntEnum):
    """Why the last thinking ended."""

    NONE = 0
    MODEL = 1
    CAP = 2
    STOP_TOKEN = 3
    LOOP = 4


class ScriptKind(IntEnum):
    """What is being forced."""

    NONE = 0
    MARKER = 1  # a marker or the rest of one: not counted
    WAIT = 2  # counted
    CLOSING = 3  # closes the thinking at the cap; its cap text is counted
    LOOP_CLOSING = 4  # the same, in a loop; the kernels rely on the order


class Mark(IntFlag):
    """What a token id is, a byte for each id of the vocabulary."""

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
    words = [0] * len(Header)

    def lay(ids: Ids) -> int:
        words.extend(ids)
        return len(words) - len(ids)

    tail = plan.end.ids + plan.answer_prefix
    words[Header.START] = lay(plan.start.ids)
    words[Header.END] = lay(plan.end.ids)
    words[Header.SOURCES] = lay(plan.stops + plan.also_ends)
    words[Header.CLOSING] = lay(plan.newline + plan.cap_text + tail)
    words[Header.SHORT_CLOSING] = lay(plan.newline + tail)
    waits = [(lay(wait), len(wait)) for wait in plan.waits]
    words[Header.WAITS] = lay(tuple(word for pair in waits for word in pair))
    for name, value in _numbers(plan).items():
        words[name] = value
    return words


def _numbers(plan: ThinkingPlan) -> dict[Header, int]:
    cap = plan.max_thinking_tokens
    answers = plan.force_start and cap == 0
    return {
        Header.START_SIZE: len(plan.start.ids),
        Header.START_GATE: plan.start.gate,
        Header.END_SIZE: len(plan.end.ids),
        Header.END_GATE: plan.end.gate,
        Header.STOPS: len(plan.stops),
        Header.SOURCE_COUNT: len(plan.stops) + len(plan.also_ends),
        Header.NEWLINE_SIZE: len(plan.newline),
        Header.CAP_TEXT_SIZE: len(plan.cap_text),
        Header.TAIL_SIZE: len(plan.end.ids) + len(plan.answer_prefix),
        Header.WAIT_COUNT: len(plan.waits),
        Header.NUM_WAITS: plan.num_waits,
        Header.LANDING: min(plan.landing_tokens, ENDLESS),
        Header.PER_BLOCK: int(plan.scope == "block"),
        Header.OPENING: Opening.START if plan.opens_thinking else Opening.ANSWER if answers else Opening.NOTHING,
        Header.CAP: -1 if cap is None else min(cap, ENDLESS),
        Header.FLOOR: min(plan.min_thinking_tokens, ENDLESS),
        Header.LOOP: min(plan.loop_tokens, ENDLESS),
    }


def check_plan(plan: ThinkingPlan) -> None:
    """Refuse what the kernels cannot hold. All plans of one engine share what is looked at.

    Raises:
        UnsupportedEngine: naming the marker or the number.
    """
    for name, marker in (("start", plan.start), ("end", plan.end)):
        if len(marker.ids) > MAX_MARKER:
            raise UnsupportedEngine(
                f"the {name} marker has {len(marker.ids)} tokens; at most {MAX_MARKER} can be told on the device"
            )
    sources = plan.stops + plan.also_ends
    if len(sources) > MAX_SOURCES:
        raise UnsupportedEngine(
            f"{len(sources)} tokens end a reply or leave its thinking; at most {MAX_SOURCES} can be told on the device"
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
    """The marks of the ids below `size`, the width of the logits; further ids are left out."""
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
