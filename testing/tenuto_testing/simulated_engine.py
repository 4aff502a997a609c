"""A simulated engine: request slots, plain tensors for its buffers, and beside each request the Python automaton.

What an engine does at random is random here: which requests take part in a step and in what order, how many drafts they
have and how many of those are taken, when requests end, are preempted and come back, and into which slots.
Needs torch and Triton alone, so that a GPU machine can check itself.
"""

import math
import random
from collections import Counter
from copy import copy, deepcopy
from dataclasses import dataclass, field

import torch

from tenuto_decoding import Force, Redirect, ThinkingAutomaton
from tenuto_decoding.actions import Action
from tenuto_decoding.gpu.layout import Ended, InPhase, State
from tenuto_decoding.gpu.slots import BudgetSlots, Rows, Snapshot, Tiles
from tenuto_decoding.prompt import Phase
from tenuto_decoding.worker_messages import MAX_STEERS

from .simulated_requests import MARKS, TEXT, UNKNOWN, VOCABULARY, Story

LONGEST = 512
MAX_DRAFTS = 4
Line = list[float]


@dataclass
class Sequence:
    """A request in the engine, and what should become of it."""

    story: Story
    slot: int
    automaton: ThinkingAutomaton | None
    output: list[int] = field(default_factory=list)
    fired: set[int] | None = field(default_factory=set)  # places in the output; None where some are guessed
    steers: list[tuple[int, int | None]] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        return [*self.story.prompt, *self.output]


@dataclass(frozen=True)
class Row:
    """One row of logits: what should be done to it."""

    sequence: Sequence
    place: int
    fed: int
    action: Action
    fired: bool


@dataclass(frozen=True)
class Dtypes:
    """The types of the engine's buffers that may be one or the other."""

    slots: torch.dtype = torch.int64
    places: torch.dtype = torch.int32
    inputs: torch.dtype = torch.int32
    lengths: torch.dtype = torch.int32


class World:
    """An engine with `count` slots that lives through stories."""

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
        self._live: list[Sequence] = []
        self._preempted: list[tuple[Sequence, Snapshot | None]] = []
        self._slots = BudgetSlots(count, LONGEST, MARKS, self._device, tiles)
        self._history = torch.full((count, LONGEST), -7, dtype=torch.int32, device=self._device)
        self._prompts = torch.zeros(count, dtype=self._dtypes.lengths, device=self._device)
        self._lengths = torch.zeros(count, dtype=self._dtypes.lengths, device=self._device)

    def live_through(self, stories: list[Story]) -> None:
        """All stories from beginning to end, as many at a time as there are slots."""
        waiting = list(stories)
        while waiting or self._live or self._preempted:
            while self._free and (waiting or self._preempted):
                if self._preempted and (not waiting or self.chance.random() < 0.5):
                    self._resume(*self._preempted.pop())
                else:
                    self._admit(waiting.pop())
            self._slots.flush()
            self._step()
            crowded = self.chance.random() < 0.1
            for sequence in list(self._live):
                if len(sequence.output) >= sequence.story.length:
                    self._end(sequence)
                elif crowded and self.chance.random() < 0.2:
                    self._preempt(sequence)
                elif sequence.automaton and len(sequence.steers) < MAX_STEERS and self.chance.random() < 0.03:
                    self._steer(sequence)

    def _admit(self, story: Story) -> None:
        automaton = ThinkingAutomaton.after(story.plan, story.prompt) if story.plan else None
        self._enter(Sequence(story, self._free.pop(), automaton))
        self.events["admitted" if automaton else "admitted without a budget"] += 1

    def _enter(self, sequence: Sequence) -> None:
        story, slot = sequence.story, sequence.slot
        self._slots.occupy(slot, story.plan, story.temperature, structured=story.structured)
        self._history[slot, : len(sequence.ids)] = torch.tensor(sequence.ids, dtype=torch.int32)
        self._prompts[slot], self._lengths[slot] = len(story.prompt), len(sequence.ids)
        self._live.append(sequence)

    def _leave(self, sequence: Sequence) -> Snapshot | None:
        self._live.remove(sequence)
        self._free.append(sequence.slot)
        return self._snapshot(sequence)

    def _snapshot(self, sequence: Sequence) -> Snapshot | None:
        snapshot = self._slots.snapshot(sequence.slot, len(sequence.ids))
        if self._device.type != "cpu":
            torch.accelerator.synchronize()
        return snapshot

    def _preempt(self, sequence: Sequence) -> None:
        snapshot = self._leave(sequence)
        if snapshot and (not snapshot.has_begun or self.chance.random() < 0.4):
            snapshot = None
        self._preempted.append((sequence, snapshot))

    def _resume(self, sequence: Sequence, snapshot: Snapshot | None) -> None:
        """With a snapshot it goes on where it was; without, its tokens are all that is known."""
        automaton, story = sequence.automaton, sequence.story
        sequence.slot = self._free.pop()
        if automaton and story.plan and not snapshot:
            sequence.automaton = ThinkingAutomaton.after(story.plan, story.prompt)
            sequence.automaton.advance_all(sequence.output)
            sequence.fired = None
            sequence.steers.clear()
        self._enter(sequence)
        if snapshot:
            self._slots.restore(sequence.slot, snapshot)
        self.events["resumed from a snapshot" if snapshot else "resumed from its tokens"] += 1

    def _steer(self, sequence: Sequence) -> None:
        until = self.chance.choice((None, 0, 1, 5, 12, 20))
        self._slots.steer(sequence.slot, until)
        assert sequence.automaton
        # In force when all that was committed is taken, which is so here at any time.
        done = sequence.automaton.steer(until)
        sequence.steers.append((len(sequence.output), until))
        self.events["steered in vain" if not done else "told to answer" if until is None else "told to think on"] += 1

    def _end(self, sequence: Sequence) -> None:
        snapshot = self._leave(sequence)
        if not sequence.automaton or not sequence.story.plan:
            assert snapshot is None
            return
        assert snapshot
        assert snapshot.has_begun
        fires = set(snapshot.fired(len(sequence.story.prompt))) & set(range(len(sequence.output)))
        assert sequence.fired is None or fires <= sequence.fired, (sequence, fires)
        steers = snapshot.steered(len(sequence.story.prompt))
        assert [until for _, until in steers] == [until for _, until in sequence.steers]
        recount = ThinkingAutomaton.after(sequence.story.plan, sequence.story.prompt)
        for position, token in enumerate([*sequence.output, None]):
            for place, until in steers:
                # What was asked for after the last step is not carried out any more.
                if place == position or (place is None and token is None):
                    recount.steer(until)
            if token is not None:
                recount.advance(token, position in fires)
        assert _account(recount) == _account(sequence.automaton), (sequence, fires, steers)
        self.events[f"ended by {sequence.automaton.ended_by}"] += 1
        self.events["waits"] += sequence.automaton.waits

    def _step(self) -> None:
        taking_part = [each for each in self._live if self.chance.random() < 0.8] or self._live[:1]
        if not taking_part:
            return
        self.chance.shuffle(taking_part)
        logits = self._draw_logits(sum(1 for _ in taking_part) * (MAX_DRAFTS + 1))
        rows: list[Row] = []
        for sequence in taking_part:
            rows += self._rows_of(sequence, logits[len(rows) :])
        number = len(rows)
        given = torch.tensor(logits[:number], device=self._device)
        if self.chance.random() < 0.5:  # rows of a wider buffer
            given = torch.nn.functional.pad(given, (0, 5))[:, :VOCABULARY]
        self._slots.apply(given, self._interface(rows))
        expected = torch.tensor(list(map(edited, rows, logits[:number])), dtype=torch.float64)
        for index in differing(given.cpu().double(), expected):
            raise AssertionError(f"{rows[index]}: {given[index].tolist()}, not {expected[index].tolist()}")
        self._check_state(taking_part)
        self._commit(taking_part, rows)

    def _interface(self, rows: list[Row]) -> Rows:
        here = self._device
        return Rows(
            slots=torch.tensor([row.sequence.slot for row in rows], dtype=self._dtypes.slots, device=here),
            places=torch.tensor([row.place for row in rows], dtype=self._dtypes.places, device=here),
            inputs=torch.tensor([row.fed for row in rows], dtype=self._dtypes.inputs, device=here),
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

    def _rows_of(self, sequence: Sequence, logits: list[Line]) -> list[Row]:
        """The rows of one request, with drafts of which the first ones are what would have been drawn."""
        automaton, rows = _ahead(sequence.automaton), list[Row]()
        fed, good = sequence.ids[-1], True
        for place in range(1 + self.chance.choice((0, 0, 0, 1, 2, 3, 4))):
            line = logits[place]
            if sequence.story.structured and self.chance.random() < 0.6:
                for token in self.chance.sample(range(VOCABULARY), VOCABULARY // 2):
                    line[token] = -math.inf
            action: Action = automaton.action() if automaton else _NO_ACTION
            fired = decide(action, line, sequence.story)
            rows.append(Row(sequence, place, fed, action, fired))
            fed = self._draw_token(sequence, place, action, fired)
            if not good or self.chance.random() < 0.2:
                fed, good = self.chance.choice((-1, *range(VOCABULARY))), False
            if automaton:
                automaton.advance(fed, fired)
        return rows

    def _draw_token(self, sequence: Sequence, ahead: int, action: Action, fired: bool) -> int:
        """What the model says: mostly what obeys the action, and mostly what leads somewhere."""
        if isinstance(action, Force) and self.chance.random() < 0.97:
            return action.token
        circle = sequence.story.circle
        if circle and not fired and self.chance.random() < 0.97:
            return circle[(len(sequence.output) + ahead) % len(circle)]
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

    def _commit(self, taking_part: list[Sequence], rows: list[Row]) -> None:
        for sequence in taking_part:
            own = [row for row in rows if row.sequence is sequence]
            if not sequence.output and self.chance.random() < 0.2:  # a prompt taken in chunks: the row is thrown away
                self.events["chunk of a prompt"] += 1
                continue
            taken = self.chance.randrange(len(own)) if self.chance.random() < 0.6 else len(own) - 1
            drafts = [row.fed for row in own[1 : taken + 1]]
            drafts = drafts[: drafts.index(-1)] if -1 in drafts else drafts
            last = own[len(drafts)]
            tokens = [*drafts, self._draw_token(sequence, len(drafts), last.action, last.fired)]
            for row, token in zip(own, tokens, strict=False):
                if sequence.automaton:
                    sequence.automaton.advance(token, row.fired)
            if sequence.fired is not None:
                sequence.fired |= {len(sequence.output) + row.place for row in own[: len(tokens)] if row.fired}
            start = len(sequence.ids)
            self._history[sequence.slot, start : start + len(tokens)] = torch.tensor(tokens, dtype=torch.int32)
            self._lengths[sequence.slot] += len(tokens)
            sequence.output += tokens
            self.events["tokens"] += len(tokens)
            self.events["drafts taken"] += len(drafts)
            self.events["drafts left"] += len(own) - 1 - len(drafts)

    def _check_state(self, sequences: list[Sequence]) -> None:
        """After a step the device has taken what was committed before it: as the automaton has."""
        for sequence in sequences:
            snapshot = self._snapshot(sequence)
            if sequence.automaton:
                assert snapshot
                assert snapshot[State.SEEN] == len(sequence.ids)
                assert _state(snapshot) == _account(sequence.automaton), sequence


def _ahead(automaton: ThinkingAutomaton | None) -> ThinkingAutomaton | None:
    """A copy that runs ahead over drafts."""
    copied = copy(automaton)
    if automaton and copied:
        copied._loop, copied._marker = deepcopy(automaton._loop), copy(automaton._marker)
    return copied


_NO_ACTION = Redirect((), None)
_PHASES = {Phase.BEFORE: InPhase.BEFORE, Phase.THINKING: InPhase.THINKING, Phase.ANSWER: InPhase.ANSWER}


def _account(automaton: ThinkingAutomaton) -> tuple[int, ...]:
    ended = Ended[automaton._ended.upper()]
    return _PHASES[automaton.phase], automaton.tokens, automaton.waits, ended, automaton._marker.matched


def _state(snapshot: Snapshot) -> tuple[int, ...]:
    columns = (State.PHASE, State.TOKENS, State.WAITS, State.ENDED, State.MATCHED)
    return tuple(snapshot[column] for column in columns)


def decide(action: Action, line: Line, story: Story) -> bool:
    """Whether the redirect fires; where the two sides weigh nearly the same, one is made heavier."""
    if not isinstance(action, Redirect) or not action.sources or stays_out(action, line, story):
        return False
    mass, own = _weights(action, line, story.temperature)
    if math.isfinite(mass) and abs(mass - own) < 1e-4:
        for source in action.sources:
            line[source] += 0.01
        mass, own = _weights(action, line, story.temperature)
    return mass > own


def stays_out(action: Action, line: Line, story: Story) -> bool:
    """Whether a grammar has ruled out what the action would bring in."""
    if not story.structured:
        return False
    if isinstance(action, Force):
        return line[action.token] == -math.inf
    return isinstance(action, Redirect) and bool(action.sources) and math.isinf(_weights(action, line, 0)[1])


def _weights(action: Redirect, line: Line, temperature: float) -> tuple[float, float]:
    """What the sources weigh together, and the target, or the likeliest other token where there is none."""
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
    """What should become of a row: the formula written out in 64 bits."""
    story, action, line = row.sequence.story, row.action, list(before)
    if story.plan is None:
        return line
    left_alone = stays_out(action, before, story)
    if isinstance(action, Force) and not left_alone:
        line = [-math.inf] * VOCABULARY
        line[action.token] = 0.0
        return line
    if isinstance(action, Redirect) and action.sources and not left_alone:
        mass, own = _weights(action, before, story.temperature)
        for source in action.sources:
            line[source] = -math.inf
        if action.target is not None:
            line[action.target] = _sum([mass, own], story.temperature)
    for token in UNKNOWN:
        line[token] = -math.inf
    return line


def differing(found: torch.Tensor, expected: torch.Tensor) -> list[int]:
    """The rows that differ by more than 32 bits must."""
    rows: list[int] = (~found.isclose(expected, rtol=1e-6, atol=2e-6)).any(1).nonzero().flatten().tolist()
    return rows
