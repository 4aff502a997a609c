"""Budgets by request slot on a device: what the host writes, the launches of a step, and what can be read back.

Needs torch and Triton, no engine.
"""

import struct
from collections import OrderedDict
from dataclasses import dataclass

import torch
import triton

from ..loops import MAX_PATTERN
from ..plan import ThinkingPlan
from ..worker_messages import MAX_STEERS
from .kernels import fill, step
from .layout import ANSWER_NOW, ENDLESS, SETTINGS_WIDTH, STATE_WIDTH, Mark, Setting, State, pack_plan

#: Plans that stay on the device although no slot has them.
_KEPT_PLANS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """How the kernels are cut up: for each program of `step` its requests, for each of `fill` its rows and ids.

    A lane for each program suits a GPU, which then has a program for each request; the interpreter runs one program
    after the other and wants many lanes in each.
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
        slots: [rows] the slot of each row's request; the rows of a request follow each other.
        places: [rows] the row's place among those of its request.
        inputs: [rows] the token that was fed in: at place 0 the last committed one, behind it drafts (below 0: void).
        history: (slots, longest sequence) committed tokens, int32.
        prompts: [slots] how many of them are prompt.
        lengths: [slots] how many there are.
    """

    slots: torch.Tensor
    places: torch.Tensor
    inputs: torch.Tensor
    history: torch.Tensor
    prompts: torch.Tensor
    lengths: torch.Tensor


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of a slot's occupant. The copies may still be under way: synchronise with the device first.

    Attributes:
        settings: the host's, int64.
        state, runs, fires: the device's, int32.
    """

    settings: torch.Tensor
    state: torch.Tensor
    runs: torch.Tensor
    fires: torch.Tensor

    @property
    def has_begun(self) -> bool:
        """Whether there was a step since the occupant came; before, the state is an earlier one's."""
        return self[State.OCCUPANT] == int(self.settings[Setting.OCCUPANT])

    def __getitem__(self, column: State) -> int:
        return int(self.state[column])

    def steered(self, prompt: int) -> list[tuple[int | None, int | None]]:
        """For each steer: the position in the reply where it was carried out, None if it was not yet; and `until`."""
        asked, done = int(self.settings[Setting.STEERING]), self[State.STEERING]
        places = self.state[State.STEERED_AT :].tolist()
        untils = self.settings[Setting.UNTIL :].tolist()
        return [
            (places[k] - prompt if k < done else None, None if untils[k] == ANSWER_NOW else untils[k])
            for k in range(asked)
        ]

    def fired(self, prompt: int) -> list[int]:
        """Positions in the reply at which a redirect fired, behind a prompt of that many tokens.

        Up to `State.SEEN` those where it took effect; then those of the last step, whose tokens were not taken yet.
        """
        words = self.fires.tolist()
        seen, asked, bits = self[State.SEEN], self[State.ASKED], self[State.ASKED_FIRED]
        taken = (place for place in range(prompt, seen) if words[place // 32] >> place % 32 & 1)
        last = (asked + row for row in range(self[State.ASKED_ROWS]) if bits >> row & 1)
        return [place - prompt for place in (*taken, *last)]


class BudgetSlots:
    """The budgets of up to `count` requests, each in a slot.

    Changes are staged on the host; `flush` sends them, in the order of the device's stream. `apply` neither waits for
    the device nor sends it anything but its two launches.
    """

    def __init__(
        self, count: int, longest: int, marks: bytes | bytearray, device: torch.device, tiles: Tiles | None = None
    ) -> None:
        """Args: slots, tokens of the longest sequence, `mark_tokens` for the width of the logits."""
        self._device = device
        interpreted = not isinstance(step, triton.runtime.JITFunction)
        self._tiles = tiles or (INTERPRETED if interpreted else COMPILED)
        self._settings = torch.zeros(count, SETTINGS_WIDTH, dtype=torch.int64)
        self._staged: set[int] = set()
        self._occupants = 0
        self._plans: OrderedDict[ThinkingPlan, torch.Tensor] = OrderedDict()
        self._held: list[torch.Tensor | None] = [None] * count  # a slot's plan stays where its address says
        unknown = [token for token, mark in enumerate(marks) if mark & Mark.UNKNOWN]
        self._marks = torch.frombuffer(bytearray(marks), dtype=torch.uint8).to(device)
        self._unknown = torch.tensor(unknown or [0], dtype=torch.int32, device=device)
        self._unknown_count = len(unknown)
        self._on_device = torch.zeros(count, SETTINGS_WIDTH, dtype=torch.int64, device=device)
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
            temperature: at which the request is sampled.
            structured: whether a grammar may rule tokens out.
        """
        if plan is None and self._held[slot] is None:
            return
        self._occupants += 1
        self._held[slot] = None if plan is None else self._upload(plan)
        held = self._held[slot]
        self._settings[slot] = 0
        self._settings[slot, Setting.PLAN] = 0 if held is None else held.data_ptr()
        self._settings[slot, Setting.OCCUPANT] = self._occupants % ENDLESS + 1
        (self._settings[slot, Setting.TEMPERATURE],) = struct.unpack("<i", struct.pack("<f", temperature))
        self._settings[slot, Setting.STRUCTURED] = int(structured)
        self._staged.add(slot)

    def steer(self, slot: int, until: int | None) -> None:
        """Steer the slot's request from its next step on; `until` as of `ThinkingAutomaton.steer`.

        Raises:
            ValueError: where it has been steered too often.
        """
        steers = int(self._settings[slot, Setting.STEERING])
        if steers == MAX_STEERS:
            raise ValueError(f"a request can be steered {MAX_STEERS} times")
        self._settings[slot, Setting.STEERING] = steers + 1
        self._settings[slot, Setting.UNTIL + steers] = ANSWER_NOW if until is None else min(until, ENDLESS)
        self._staged.add(slot)

    def flush(self) -> None:
        """Send what was staged."""
        if not self._staged:
            return
        slots = torch.tensor(sorted(self._staged))
        rows = self._settings[slots]
        self._on_device.index_copy_(
            0, slots.to(self._device, non_blocking=True), rows.to(self._device, non_blocking=True)
        )
        self._staged.clear()

    def apply(self, logits: torch.Tensor, rows: Rows) -> None:
        """Take what was committed since the last step, and edit this step's rows in place.

        Args:
            logits: float32, (rows, vocabulary), before temperature and filters.
        """
        number, vocabulary = logits.shape
        if vocabulary != len(self._marks):
            raise ValueError(f"the logits are {vocabulary} wide; the vocabulary is {len(self._marks)}")
        if number > len(self._forced):
            self._forced = torch.empty(number, dtype=torch.int32, device=self._device)
        tiles = self._tiles
        step[(triton.cdiv(number, tiles.lanes),)](
            logits,
            logits.stride(0),
            vocabulary,
            rows.slots,
            rows.places,
            rows.inputs,
            number,
            rows.history,
            rows.history.stride(0),
            rows.prompts,
            rows.lengths,
            self._on_device,
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
        fill[(triton.cdiv(number, tiles.fill_rows), triton.cdiv(vocabulary, tiles.fill_span))](
            logits,
            logits.stride(0),
            vocabulary,
            self._forced,
            number,
            self._unknown,
            self._unknown_count,
            rows_each=tiles.fill_rows,
            width=tiles.fill_width,
            span=tiles.fill_span,
            num_warps=8,
        )

    def snapshot(self, slot: int, length: int) -> Snapshot | None:
        """A copy, under way to the host, of a budgeted slot's state, for a sequence of at most `length` tokens."""
        if self._held[slot] is None:
            return None
        fires = self._fires[slot, : -(-length // 32)]
        return Snapshot(
            self._settings[slot].clone(), to_host(self._state[slot]), to_host(self._runs[slot]), to_host(fires)
        )

    def steer_again(self, slot: int, snapshot: Snapshot) -> None:
        """How an earlier life of the request was steered, if it was."""
        self._settings[slot, Setting.STEERING :] = snapshot.settings[Setting.STEERING :]
        self._staged.add(slot)

    def restore(self, slot: int, snapshot: Snapshot) -> None:
        """The request in the slot goes on from an earlier life of the same sequence, with the same plan."""
        self.steer_again(slot, snapshot)
        state = snapshot.state.clone()
        state[State.OCCUPANT] = self._settings[slot, Setting.OCCUPANT]
        self._state[slot].copy_(state, non_blocking=True)
        self._runs[slot].copy_(snapshot.runs, non_blocking=True)
        self._fires[slot, : len(snapshot.fires)].copy_(snapshot.fires, non_blocking=True)

    def _upload(self, plan: ThinkingPlan) -> torch.Tensor:
        """The plan on the device, each distinct one once."""
        words = self._plans.get(plan)
        if words is None:
            words = torch.tensor(pack_plan(plan), dtype=torch.int32).to(self._device, non_blocking=True)
            self._plans[plan] = words
            if len(self._plans) > _KEPT_PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(plan)
        return words


def to_host(values: torch.Tensor) -> torch.Tensor:
    """A copy on the host, which may still be under way."""
    return values.to("cpu", non_blocking=True, copy=True)
