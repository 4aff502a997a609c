"""Budgets by request slot on a device: what the host writes, the launches of a step, and what can be read back.

Needs torch and Triton, no engine.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import triton

from ..loops import MAX_PATTERN
from ..matching import MarkerTable
from ..plan import ThinkingPlan
from ..worker_messages import MAX_STEERS
from .kernels import fill, step
from .layout import (
    ANSWER_NOW,
    ENDLESS,
    OCCUPANCY,
    SETTINGS_WIDTH,
    STATE_WIDTH,
    STEERED_AT,
    Mark,
    Occupancy,
    Setting,
    SlotState,
    pack_plan,
    pack_table,
)

Key = TypeVar("Key", ThinkingPlan, MarkerTable)

_OCCUPANT = OCCUPANCY + Occupancy._fields.index("occupant")
#: Plans and tables that stay on the device although no slot uses them.
_KEPT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """How the work is divided: the requests of each program of `step`, the rows and ids of each program of `fill`.

    One lane per program suits a GPU, which then runs one program per request; the interpreter runs programs one after
    the other, so it needs many lanes in each.
    """

    lanes: int = 1
    width: int = 256
    wide: int = 1024
    fill_rows: int = 1
    fill_width: int = 4096
    fill_span: int = 32768
    patterns: int = MAX_PATTERN


COMPILED = Tiles()
INTERPRETED = Tiles(lanes=64, width=64, fill_rows=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The batch of one step and the engine's own buffers, all on the device.

    Attributes:
        slots: [rows] the slot of each row's request; the rows of a request are consecutive.
        positions: [rows] the row's position among the rows of its request.
        inputs: [rows] the row's input token: at position 0 the last committed one, then drafts (negative: void).
        history: (slots, longest sequence) committed tokens, int32.
        prompts: [slots] how many of them are prompt.
        lengths: [slots] how many there are.
    """

    slots: torch.Tensor
    positions: torch.Tensor
    inputs: torch.Tensor
    history: torch.Tensor
    prompts: torch.Tensor
    lengths: torch.Tensor


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of what is known of a slot's occupant.

    The copy from the device may still be in progress: synchronize with the device before reading it.

    Attributes:
        settings: the host's, int64.
        words, runs, fires: the device's, int32.
    """

    settings: torch.Tensor
    words: torch.Tensor
    runs: torch.Tensor
    fires: torch.Tensor

    @property
    def state(self) -> SlotState:
        return SlotState.of(self.words.tolist())

    @property
    def is_valid(self) -> bool:
        """Whether a step ran since the occupant entered; until then the state is an earlier occupant's."""
        return int(self.words[_OCCUPANT]) == int(self.settings[Setting.OCCUPANT])

    def steers(self, prompt: int) -> list[tuple[int | None, int | None]]:
        """For each steer its position in the reply, None while it has not been carried out; and its `until`."""
        requested, done = int(self.settings[Setting.STEERS]), self.state.occupancy.steers
        lengths, untils = self.words[STEERED_AT:].tolist(), self.settings[Setting.UNTIL :].tolist()
        return [
            (lengths[k] - prompt if k < done else None, None if untils[k] == ANSWER_NOW else untils[k])
            for k in range(requested)
        ]

    def fired(self, prompt: int) -> list[int]:
        """Positions in the reply at which a redirect fired, after a prompt of that many tokens.

        Of the tokens that the automaton has taken, only those where the redirect took effect; then those of the last
        step, whose tokens it has not taken yet.
        """
        words, state = self.fires.tolist(), self.state
        seen, (start, rows, bits) = state.occupancy.seen, state.last_step
        taken = (position for position in range(prompt, seen) if words[position // 32] >> position % 32 & 1)
        last = (start + row for row in range(rows) if bits >> row & 1)
        return [position - prompt for position in (*taken, *last)]


class BudgetSlots:
    """The budgets of up to `count` requests, each in a slot.

    Changes are staged on the host; `flush` sends them, in the order of the device's stream. `apply` does not wait for
    the device and sends it nothing but its two launches.
    """

    def __init__(
        self, count: int, longest: int, marks: bytes | bytearray, device: torch.device, tiles: Tiles | None = None
    ) -> None:
        """Args: slots, tokens of the longest sequence, `mark_tokens` for the width of the logits."""
        self._device = device
        is_interpreted = not isinstance(step, triton.runtime.JITFunction)
        self._tiles = tiles or (INTERPRETED if is_interpreted else COMPILED)
        self._settings = torch.zeros(count, SETTINGS_WIDTH, dtype=torch.int64)
        self._staged: set[int] = set()
        self._occupants = 0
        self._plans: OrderedDict[ThinkingPlan, torch.Tensor] = OrderedDict()
        self._tables: OrderedDict[MarkerTable, torch.Tensor] = OrderedDict()
        # Keeps each slot's plan and table at their addresses.
        self._in_use: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * count
        unknown = [token for token, mark in enumerate(marks) if mark & Mark.UNKNOWN]
        self._marks = torch.frombuffer(bytearray(marks), dtype=torch.uint8).to(device)
        self._unknown = torch.tensor(unknown or [0], dtype=torch.int32, device=device)
        self._unknown_count = len(unknown)
        self._device_settings = torch.zeros(count, SETTINGS_WIDTH, dtype=torch.int64, device=device)
        self._state = torch.zeros(count, STATE_WIDTH, dtype=torch.int32, device=device)
        self._runs = torch.zeros(count, self._tiles.patterns, dtype=torch.int32, device=device)
        self._fires = torch.zeros(count, -(-longest // 32), dtype=torch.int32, device=device)
        self._forced = torch.empty(count, dtype=torch.int32, device=device)

    def occupy(
        self, slot: int, plan: ThinkingPlan | None, temperature: float = 1.0, *, structured: bool = False
    ) -> None:
        """A request enters the slot; nothing of an earlier one remains.

        Args:
            plan: None for a request without a budget.
            temperature: the request's sampling temperature.
            structured: whether a grammar may rule out tokens.
        """
        if plan is None and self._in_use[slot] is None:
            return
        self._occupants += 1
        words = self._in_use[slot] = None if plan is None else (self._upload(plan), self._upload_table(plan.table))
        self._settings[slot] = 0
        if words is not None:
            self._settings[slot, Setting.PLAN], self._settings[slot, Setting.TABLE] = (
                each.data_ptr() for each in words
            )
        self._settings[slot, Setting.OCCUPANT] = self._occupants % ENDLESS + 1
        (self._settings[slot, Setting.TEMPERATURE],) = struct.unpack("<i", struct.pack("<f", temperature))
        self._settings[slot, Setting.STRUCTURED] = int(structured)
        self._staged.add(slot)

    def steer(self, slot: int, until: int | None) -> None:
        """Steer the slot's request from its next step on; `until` as in `ThinkingAutomaton.steer`.

        Raises:
            ValueError: when it has been steered MAX_STEERS times.
        """
        steers = int(self._settings[slot, Setting.STEERS])
        if steers == MAX_STEERS:
            raise ValueError(f"a request can be steered {MAX_STEERS} times")
        self._settings[slot, Setting.STEERS] = steers + 1
        self._settings[slot, Setting.UNTIL + steers] = ANSWER_NOW if until is None else min(until, ENDLESS)
        self._staged.add(slot)

    def flush(self) -> None:
        """Send the staged changes."""
        if not self._staged:
            return
        slots = torch.tensor(sorted(self._staged))
        rows = self._settings[slots]
        self._device_settings.index_copy_(
            0, slots.to(self._device, non_blocking=True), rows.to(self._device, non_blocking=True)
        )
        self._staged.clear()

    def apply(self, logits: torch.Tensor, rows: Rows) -> None:
        """Take the tokens committed since the last step, and edit this step's rows in place.

        Args:
            logits: float32, (rows, vocabulary), before temperature and filters.
        """
        count, vocabulary = logits.shape
        if vocabulary != len(self._marks):
            raise ValueError(f"the logits are {vocabulary} wide; the vocabulary is {len(self._marks)}")
        if count > len(self._forced):
            self._forced = torch.empty(count, dtype=torch.int32, device=self._device)
        tiles = self._tiles
        step[(triton.cdiv(count, tiles.lanes),)](
            logits,
            logits.stride(0),
            vocabulary,
            rows.slots,
            rows.positions,
            rows.inputs,
            count,
            rows.history,
            rows.history.stride(0),
            rows.prompts,
            rows.lengths,
            self._device_settings,
            self._state,
            self._runs,
            self._fires,
            self._fires.stride(0),
            self._marks,
            self._forced,
            lanes=tiles.lanes,
            width=tiles.width,
            wide=tiles.wide,
            patterns=tiles.patterns,
            num_warps=1,
        )
        fill[(triton.cdiv(count, tiles.fill_rows), triton.cdiv(vocabulary, tiles.fill_span))](
            logits,
            logits.stride(0),
            vocabulary,
            self._forced,
            count,
            self._unknown,
            self._unknown_count,
            rows_each=tiles.fill_rows,
            width=tiles.fill_width,
            span=tiles.fill_span,
            num_warps=8,
        )

    def snapshot(self, slot: int, length: int) -> Snapshot | None:
        """Start to copy a budgeted slot's state to the host, for a sequence of at most `length` tokens."""
        if self._in_use[slot] is None:
            return None
        fires = self._fires[slot, : -(-length // 32)]
        return Snapshot(
            self._settings[slot].clone(), to_host(self._state[slot]), to_host(self._runs[slot]), to_host(fires)
        )

    def repeat_steers(self, slot: int, snapshot: Snapshot) -> None:
        """Steer the slot's request as the snapshot's was."""
        self._settings[slot, Setting.STEERS :] = snapshot.settings[Setting.STEERS :]
        self._staged.add(slot)

    def restore(self, slot: int, snapshot: Snapshot) -> None:
        """Continue the slot's request from a snapshot of the same sequence, with the same plan."""
        self.repeat_steers(slot, snapshot)
        words = snapshot.words.clone()
        words[_OCCUPANT] = self._settings[slot, Setting.OCCUPANT]
        self._state[slot].copy_(words, non_blocking=True)
        self._runs[slot].copy_(snapshot.runs, non_blocking=True)
        self._fires[slot, : len(snapshot.fires)].copy_(snapshot.fires, non_blocking=True)

    def prepare(self, table: MarkerTable) -> None:
        """Send a marker table to the device before the first plan that has it."""
        self._upload_table(table)

    def _upload(self, plan: ThinkingPlan) -> torch.Tensor:
        """The plan on the device; equal plans share one copy."""
        return self._kept(self._plans, plan, lambda: pack_plan(plan))

    def _upload_table(self, table: MarkerTable) -> torch.Tensor:
        """The marker table on the device. The plans of one model share it."""
        return self._kept(self._tables, table, lambda: pack_table(table, len(self._marks)))

    def _kept(self, copies: OrderedDict[Key, torch.Tensor], key: Key, pack: Callable[[], list[int]]) -> torch.Tensor:
        words = copies.get(key)
        if words is None:
            words = copies[key] = torch.tensor(pack(), dtype=torch.int32).to(self._device, non_blocking=True)
            if len(copies) > _KEPT:
                copies.popitem(last=False)
        copies.move_to_end(key)
        return words


def to_host(values: torch.Tensor) -> torch.Tensor:
    """A copy on the host, which may still be in progress."""
    return values.to("cpu", non_blocking=True, copy=True)
