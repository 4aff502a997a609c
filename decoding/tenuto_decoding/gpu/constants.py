"""The numbers of `layout` as Triton constants.

A kernel may use a module's global only where it is a constexpr, and Triton's cache keys a compiled kernel by its value.
"""

import triton.language as tl

from ..loops import MIN_REPEATS as _MIN_REPEATS
from ..matching import Hit
from . import layout
from .layout import DevicePhase, EndReason, Flag, Mark, Opening, ScriptKind, Setting, StepBits

LAYOUT = tl.constexpr(layout.LAYOUT)
DEPTH = tl.constexpr(layout.DEPTH)
IN_TABLE = tl.constexpr(layout.IN_TABLE)
LAST_STATE = tl.constexpr(layout.LAST_STATE)
MAX_SOURCES = tl.constexpr(layout.MAX_SOURCES)
MIN_REPEATS = tl.constexpr(_MIN_REPEATS)
SETTINGS_WIDTH = tl.constexpr(layout.SETTINGS_WIDTH)
STATE_WIDTH = tl.constexpr(layout.STATE_WIDTH)

OCCUPANCY = tl.constexpr(layout.OCCUPANCY)
BOUNDS = tl.constexpr(layout.BOUNDS)
PROGRESS = tl.constexpr(layout.PROGRESS)
SCRIPT = tl.constexpr(layout.SCRIPT)
LAST_STEP = tl.constexpr(layout.LAST_STEP)
STEERED_AT = tl.constexpr(layout.STEERED_AT)

SETTING_PLAN = tl.constexpr(int(Setting.PLAN))
SETTING_OCCUPANT = tl.constexpr(int(Setting.OCCUPANT))
SETTING_TEMPERATURE = tl.constexpr(int(Setting.TEMPERATURE))
SETTING_STRUCTURED = tl.constexpr(int(Setting.STRUCTURED))
SETTING_TABLE = tl.constexpr(int(Setting.TABLE))
SETTING_STEERS = tl.constexpr(int(Setting.STEERS))
SETTING_UNTIL = tl.constexpr(int(Setting.UNTIL))

PHASE_BEFORE = tl.constexpr(int(DevicePhase.BEFORE))
PHASE_THINKING = tl.constexpr(int(DevicePhase.THINKING))
PHASE_ANSWER = tl.constexpr(int(DevicePhase.ANSWER))

ENDED_NONE = tl.constexpr(int(EndReason.NONE))
ENDED_MODEL = tl.constexpr(int(EndReason.MODEL))
ENDED_CAP = tl.constexpr(int(EndReason.CAP))
ENDED_STOP_TOKEN = tl.constexpr(int(EndReason.STOP_TOKEN))
ENDED_LOOP = tl.constexpr(int(EndReason.LOOP))

SCRIPT_NONE = tl.constexpr(int(ScriptKind.NONE))
SCRIPT_MARKER = tl.constexpr(int(ScriptKind.MARKER))
SCRIPT_WAIT = tl.constexpr(int(ScriptKind.WAIT))
SCRIPT_CLOSING = tl.constexpr(int(ScriptKind.CLOSING))
SCRIPT_LOOP_CLOSING = tl.constexpr(int(ScriptKind.LOOP_CLOSING))

OPENING_NOTHING = tl.constexpr(int(Opening.NOTHING))
OPENING_START = tl.constexpr(int(Opening.START))
OPENING_ANSWER = tl.constexpr(int(Opening.ANSWER))

MARK_LINE_END = tl.constexpr(int(Mark.LINE_END))
MARK_LANDING = tl.constexpr(int(Mark.LANDING))
MARK_BOUNDARY = tl.constexpr(int(Mark.BOUNDARY))
MARK_UNKNOWN = tl.constexpr(int(Mark.UNKNOWN))

BITS_STATE = tl.constexpr(int(StepBits.STATE))
BITS_HIT = tl.constexpr(int(StepBits.HIT))
BITS_SIZE = tl.constexpr(int(StepBits.SIZE))
BITS_LENGTH = tl.constexpr(int(StepBits.LENGTH))

FLAG_BEGUN = tl.constexpr(int(Flag.BEGUN))
FLAG_CERTAIN = tl.constexpr(int(Flag.CERTAIN))

HIT_NOTHING = tl.constexpr(int(Hit.NOTHING))
HIT_START = tl.constexpr(int(Hit.START))
HIT_END = tl.constexpr(int(Hit.END))
HIT_OPENER = tl.constexpr(int(Hit.OPENER))
HIT_TURN = tl.constexpr(int(Hit.TURN))
