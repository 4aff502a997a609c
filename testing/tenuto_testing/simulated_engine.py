"""A simulated engine: request slots, plain tensors for its buffers, and a Python automaton for each request.

Everything that varies in a real engine is random: which requests take part in a step and in what order, how many drafts
they have and how many of those are accepted, when requests end, are preempted and return, and into which slots.
Needs only torch and Triton, so that a GPU machine can check itself.
"""

import itertools
import math
import random
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field

import torch

from tenuto_decoding import Force, Redirect, ThinkingAutomaton
from tenuto_decoding.actions import Action
from tenuto_decoding.gpu.layout import DevicePhase, EndReason
from tenuto_decoding.gpu.slots import BudgetSlots, Rows, Snapshot, Tiles
from tenuto_decoding.prompt import Phase
from tenuto_decoding.worker_messages import MAX_STEERS

from .simulated_requests import MARKS, TEXT, UNKNOWN, VOCABULARY, SimulatedRequest

LONGEST = 512
MAX_DRAFTS = 4
Line = list[float]


@dataclass(eq=False)
class RunningRequest:
    """A request in the engine, and the automaton that the device must equal."""

    request: SimulatedRequest
    slot: int
    automaton: ThinkingAutomaton | None
    output: list[int] = field(default_factory=list)
    fired: set[int] | None = field(default_factory=set)  # positions in the output; None where some are guessed
    steers: list[tuple[int, int | None]] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        return [*self.request.prompt, *self.output]


@dataclass(frozen=True)
class Row:
    """One row of logits, with the action that the automaton requires and whether its redirect fires."""

    running: RunningRequest
    position: int
    token: int
    action: Action
    fired: bool


@dataclass(frozen=True)
class Dtypes:
    """The integer types of the engine's buffers, where they may differ."""

    slots: torch.dtype = torch.int64
    positions: torch.dtype = torch.int32
    inputs: torch.dtype = torch.int32
    lengths: torch.dtype = torch.int32


class SimulatedEngine:
    """An engine with `count` slots."""

    def __init__(
        self,
        chance: random.Random,
        count: int,
        tiles: Tiles | None = None,
        dtypes: Dtypes | None = None,
        device: str = "cpu",
    ) -> None:
        self.chance = chance
        self.events: Counter[str] = Counter()
        self._dtypes = dtypes or Dtypes()
        self._device = torch.device(device)
        self._free = list(range(count))
        chance.shuffle(self._free)
        self._running: list[RunningRequest] = []
        self._preempted: list[tuple[RunningRequest, Snapshot | None]] = []
        self._slots = BudgetSlots(count, LONGEST, MARKS, self._device, tiles)
        self._history = torch.full((count, LONGEST), -7, dtype=torch.int32, device=self._device)
        self._prompts = torch.zeros(count, dtype=self._dtypes.lengths, device=self._device)
        self._lengths = torch.zeros(count, dtype=self._dtypes.lengths, device=self._device)

    def run(self, requests: list[SimulatedRequest]) -> None:
        """Run all requests from start to end, as many at a time as there are slots.

        Raises:
            AssertionError: at the first row or state that differs from the automaton's.
        """
        waiting = list(requests)
        while waiting or self._running or self._preempted:
            while self._free and (waiting or self._preempted):
                if self._preempted and (not waiting or self.chance.random() < 0.5):
                    self._resume(*self._preempted.pop())
                else:
                    self._admit(waiting.pop())
            self._slots.flush()
            self._step()
            crowded = self.chance.random() < 0.1
            for running in list(self._running):
                if len(running.output) >= running.request.length:
                    self._end(running)
                elif crowded and self.chance.random() < 0.2:
                    self._preempt(running)
                elif running.automaton and len(running.steers) < MAX_STEERS and self.chance.random() < 0.03:
                    self._steer(running)

    def _admit(self, request: SimulatedRequest) -> None:
        automaton = ThinkingAutomaton.after(request.plan, request.prompt) if request.plan else None
        self._enter(RunningRequest(request, self._free.pop(), automaton))
        self.events["admitted" if automaton else "admitted without a budget"] += 1

    def _enter(self, running: RunningRequest) -> None:
        request, slot = running.request, running.slot
        self._slots.occupy(slot, request.plan, request.temperature, structured=request.structured)
        self._history[slot, : len(running.ids)] = torch.tensor(running.ids, dtype=torch.int32)
        self._prompts[slot], self._lengths[slot] = len(request.prompt), len(running.ids)
        self._running.append(running)

    def _leave(self, running: RunningRequest) -> Snapshot | None:
        self._running.remove(running)
        self._free.append(running.slot)
        return self._snapshot(running)

    def _snapshot(self, running: RunningRequest) -> Snapshot | None:
        snapshot = self._slots.snapshot(running.slot, len(running.ids))
        if self._device.type != "cpu":
            torch.accelerator.synchronize()
        return snapshot

    def _preempt(self, running: RunningRequest) -> None:
        snapshot = self._leave(running)
        if snapshot and (not snapshot.is_valid or self.chance.random() < 0.4):
            snapshot = None
        self._preempted.append((running, snapshot))

    def _resume(self, running: RunningRequest, snapshot: Snapshot | None) -> None:
        """With a snapshot the request continues where it was; without, only its tokens are known."""
        automaton, request = running.automaton, running.request
        running.slot = self._free.pop()
        if automaton and request.plan and not snapshot:
            running.automaton = ThinkingAutomaton.after(request.plan, request.prompt)
            for token in running.output:
                running.automaton.advance(token)
            running.fired = None
            running.steers.clear()
        self._enter(running)
        if snapshot:
            self._slots.restore(running.slot, snapshot)
        self.events["resumed from a snapshot" if snapshot else "resumed from its tokens"] += 1

    def _steer(self, running: RunningRequest) -> None:
        until = self.chance.choice((None, 0, 1, 5, 12, 20))
        self._slots.steer(running.slot, until)
        assert running.automaton
        # A steer applies once all committed tokens are taken, as they always are here.
        done = running.automaton.steer(until)
        running.steers.append((len(running.output), until))
        effect = ("to answer" if until is None else "to think") if done else "without effect"
        self.events[f"steered {effect}"] += 1

    def _end(self, running: RunningRequest) -> None:
        snapshot = self._leave(running)
        if not running.automaton or not running.request.plan:
            assert snapshot is None
            return
        assert snapshot
        assert snapshot.is_valid
        fires = set(snapshot.fired(len(running.request.prompt))) & set(range(len(running.output)))
        assert running.fired is None or fires <= running.fired, (running, fires)
        steers = snapshot.steers(len(running.request.prompt))
        assert [until for _, until in steers] == [until for _, until in running.steers]
        recount = ThinkingAutomaton.after(running.request.plan, running.request.prompt)
        for position, token in enumerate([*running.output, None]):
            for carried_out, until in steers:
                # A steer after the last step is never carried out.
                if carried_out == position or (carried_out is None and token is None):
                    recount.steer(until)
            if token is not None:
                recount.advance(token, position in fires)
        assert _automaton_state(recount) == _automaton_state(running.automaton), (running, fires, steers)
        self.events[f"ended by {running.automaton.ended_by}"] += 1
        self.events["waits"] += running.automaton.waits

    def _step(self) -> None:
        batch = [each for each in self._running if self.chance.random() < 0.8] or self._running[:1]
        if not batch:
            return
        self.chance.shuffle(batch)
        logits = self._draw_logits(len(batch) * (MAX_DRAFTS + 1))
        rows: list[Row] = []
        for running in batch:
            rows += self._rows_of(running, logits[len(rows) : len(rows) + MAX_DRAFTS + 1])
        count = len(rows)
        given = torch.tensor(logits[:count], device=self._device)
        if self.chance.random() < 0.5:  # rows of a wider buffer
            given = torch.nn.functional.pad(given, (0, 5))[:, :VOCABULARY]
        self._slots.apply(given, self._interface(rows))
        expected = torch.tensor(list(map(edited, rows, logits[:count])), dtype=torch.float64)
        for index in differing(given.cpu().double(), expected):
            raise AssertionError(f"{rows[index]}: {given[index].tolist()}, not {expected[index].tolist()}")
        self._check_state(batch)
        for _, own in itertools.groupby(rows, lambda row: row.running.slot):
            self._commit(list(own))

    def _interface(self, rows: list[Row]) -> Rows:
        here = self._device
        return Rows(
            slots=torch.tensor([row.running.slot for row in rows], dtype=self._dtypes.slots, device=here),
            positions=torch.tensor([row.position for row in rows], dtype=self._dtypes.positions, device=here),
            inputs=torch.tensor([row.token for row in rows], dtype=self._dtypes.inputs, device=here),
            history=self._history,
            prompts=self._prompts,
            lengths=self._lengths,
        )

    def _draw_logits(self, number: int) -> list[Line]:
        generator = torch.Generator().manual_seed(self.chance.getrandbits(32))
        logits = torch.randn(number, VOCABULARY, generator=generator) * 2.5
        logits[torch.rand(number, VOCABULARY, generator=generator) < 0.03] = -math.inf
        lines: list[Line] = logits.tolist()
        return lines

    def _rows_of(self, running: RunningRequest, logits: list[Line]) -> list[Row]:
        """The rows of one request, with drafts of which the first ones are tokens that would have been sampled."""
        automaton, rows = _ahead(running.automaton), list[Row]()
        token, good = running.ids[-1], True
        for position in range(1 + self.chance.choice((0, 0, 0, 1, 2, 3, 4))):
            line = logits[position]
            if running.request.structured and self.chance.random() < 0.6:
                for masked in self.chance.sample(range(VOCABULARY), VOCABULARY // 2):
                    line[masked] = -math.inf
            action: Action = automaton.action() if automaton else _NO_ACTION
            fired = decide(action, line, running.request)
            rows.append(Row(running, position, token, action, fired))
            token = self._draw_token(running, position, action, fired)
            if not good or self.chance.random() < 0.2:
                token, good = self.chance.choice((-1, *range(VOCABULARY))), False
            if automaton:
                automaton.advance(token, fired)
        return rows

    def _draw_token(self, running: RunningRequest, ahead: int, action: Action, fired: bool) -> int:
        """The model's token: mostly one that the action allows, and mostly one that changes the state."""
        if isinstance(action, Force) and self.chance.random() < 0.97:
            return action.token
        loop = running.request.loop
        if loop and not fired and self.chance.random() < 0.97:
            return loop[(len(running.output) + ahead) % len(loop)]
        if (
            isinstance(action, Redirect)
            and action.target is not None
            and self.chance.random() < (0.7 if fired else 0.2)
        ):
            return action.target
        kind = self.chance.random()
        if kind < 0.5:
            return self.chance.choice(TEXT)
        return self.chance.randrange(VOCABULARY if kind > 0.9 else 20)

    def _commit(self, rows: list[Row]) -> None:
        """Accept some drafts of one request, and sample one token."""
        running = rows[0].running
        if not running.output and self.chance.random() < 0.2:  # chunked prefill: the row is discarded
            self.events["chunk of a prompt"] += 1
            return
        accepted = self.chance.randrange(len(rows)) if self.chance.random() < 0.6 else len(rows) - 1
        drafts = [row.token for row in rows[1 : accepted + 1]]
        drafts = drafts[: drafts.index(-1)] if -1 in drafts else drafts
        last = rows[len(drafts)]
        tokens = [*drafts, self._draw_token(running, len(drafts), last.action, last.fired)]
        for row, token in zip(rows, tokens, strict=False):
            if running.automaton:
                running.automaton.advance(token, row.fired)
        if running.fired is not None:
            running.fired |= {len(running.output) + row.position for row in rows[: len(tokens)] if row.fired}
        start = len(running.ids)
        self._history[running.slot, start : start + len(tokens)] = torch.tensor(tokens, dtype=torch.int32)
        self._lengths[running.slot] += len(tokens)
        running.output += tokens
        self.events["tokens"] += len(tokens)
        self.events["drafts accepted"] += len(drafts)
        self.events["drafts rejected"] += len(rows) - 1 - len(drafts)

    def _check_state(self, requests: list[RunningRequest]) -> None:
        """After a step the device has taken the tokens committed before it, as the automaton has."""
        for running in requests:
            snapshot = self._snapshot(running)
            if running.automaton:
                assert snapshot
                assert snapshot.state.occupancy.seen == len(running.ids)
                assert _device_state(snapshot) == _automaton_state(running.automaton), running


def _ahead(automaton: ThinkingAutomaton | None) -> ThinkingAutomaton | None:
    """A copy that advances over drafts."""
    return deepcopy(automaton, {id(automaton.plan): automaton.plan}) if automaton else None


_NO_ACTION = Redirect((), None)
_PHASES = {Phase.BEFORE: DevicePhase.BEFORE, Phase.THINKING: DevicePhase.THINKING, Phase.ANSWER: DevicePhase.ANSWER}


def _automaton_state(automaton: ThinkingAutomaton) -> tuple[int, ...]:
    ended = EndReason[automaton._ended.upper()]
    return _PHASES[automaton.phase], automaton.tokens, automaton.waits, ended, automaton._state


def _device_state(snapshot: Snapshot) -> tuple[int, ...]:
    progress, script = snapshot.state.progress, snapshot.state.script
    return progress.phase, progress.counted, progress.waits, script.ended, progress.state


def decide(action: Action, line: Line, request: SimulatedRequest) -> bool:
    """Whether the redirect fires; where both sides weigh nearly the same, the sources are made heavier."""
    if not isinstance(action, Redirect) or not action.sources or is_masked(action, line, request):
        return False
    mass, own = _weights(action, line, request.temperature)
    if math.isfinite(mass) and abs(mass - own) < 1e-4:
        for source in action.sources:
            line[source] += 0.01
        mass, own = _weights(action, line, request.temperature)
    return mass > own


def is_masked(action: Action, line: Line, request: SimulatedRequest) -> bool:
    """Whether a grammar has masked every token that the action would make likelier."""
    if not request.structured:
        return False
    if isinstance(action, Force):
        return line[action.token] == -math.inf
    return isinstance(action, Redirect) and bool(action.sources) and math.isinf(_weights(action, line, 0)[1])


def _weights(action: Redirect, line: Line, temperature: float) -> tuple[float, float]:
    """The weight of the sources, and of the target, or of the likeliest other token where there is no target."""
    if action.target is None:
        without = {*action.sources, *UNKNOWN}
        own = max(logit for token, logit in enumerate(line) if token not in without)
    else:
        own = line[action.target]
    return _sum([line[source] for source in action.sources], temperature), own


def _sum(logits: list[float], temperature: float) -> float:
    top = max(logits)
    if temperature == 0 or math.isinf(top):
        return top
    return top + temperature * math.log(sum(math.exp((logit - top) / temperature) for logit in logits))


def edited(row: Row, before: Line) -> Line:
    """The row after its action: the formula written out in 64 bits."""
    request, action, line = row.running.request, row.action, list(before)
    if request.plan is None:
        return line
    unchanged = is_masked(action, before, request)
    if isinstance(action, Force) and not unchanged:
        line = [-math.inf] * VOCABULARY
        line[action.token] = 0.0
        return line
    if isinstance(action, Redirect) and action.sources and not unchanged:
        mass, own = _weights(action, before, request.temperature)
        for source in action.sources:
            line[source] = -math.inf
        if action.target is not None:
            line[action.target] = _sum([mass, own], request.temperature)
    for token in UNKNOWN:
        line[token] = -math.inf
    return line


def differing(found: torch.Tensor, expected: torch.Tensor) -> list[int]:
    """The rows that differ by more than the rounding of 32 bits."""
    rows: list[int] = (~found.isclose(expected, rtol=1e-6, atol=2e-6)).any(1).nonzero().flatten().tolist()
    return rows
