"""Budget forcing as an automaton: a state for each sequence, a transition for each token, an action for each step.

The state is a function of the prompt's phase, of the generated tokens and, for each of them, of whether it came from a
redirect and of how the sequence was steered before it; nothing else. So it can be replayed wherever these are known.
"""

import sys
from collections.abc import Container, Sequence
from typing import Literal, Self

from .actions import FREE, Action, Force, Redirect
from .loops import LoopWatch
from .matching import Ids
from .plan import ThinkingPlan
from .prompt import Phase, initial_phase
from .script import Script

EndedBy = Literal["model", "cap", "loop", "stop_token", "length", "none"]
#: What of a budget ended the thinking: the cap, a landing before it, "answer now", a loop, or a stop in its middle.
ForcedBy = Literal["cap", "landing", "answer_now", "loop", "stop_token"]


class ThinkingAutomaton:
    """The budget of one sequence, followed token by token.

    Make it with `after(plan, prompt)`; then, in turn, call `action()` for the next step and `advance(token)` with the
    token that the step gave.

    Attributes:
        plan: what is enforced.
        phase: of the next token.
        waits: attempts to stop that were replaced so far, in all blocks.
        has_guessed: whether `advance` ever had to guess whether a token came from a redirect. Then a replay that is
            given the redirects may differ in its waits, its count and why thinking ended.
    """

    __slots__ = (
        "_action",
        "_cap",
        "_changing_ids",
        "_counted",
        "_ended",
        "_first_token",
        "_first_wait",
        "_floor",
        "_has_landed",
        "_last",
        "_loop",
        "_offsets",
        "_plain_left",
        "_script",
        "_state",
        "has_guessed",
        "phase",
        "plan",
        "waits",
    )

    def __init__(self, plan: ThinkingPlan, phase: Phase = Phase.BEFORE, last: int | None = None) -> None:
        self.plan = plan
        self.phase = phase
        self.waits = 0
        self.has_guessed = False
        self._cap, self._floor = plan.max_thinking_tokens, plan.min_thinking_tokens  # in force; steering changes them
        self._first_token = self._first_wait = 0  # `tokens` and `waits` where the budget in force started to count
        self._loop = LoopWatch(plan.loop_tokens)
        self._counted = 0  # thinking tokens, and tokens of an end marker that may turn out to be text
        self._state = plan.table.inside if phase is Phase.THINKING else plan.table.outside
        # Bit n: a counted token begins n symbols before the end of the text, and within what may become a marker.
        self._offsets = 0
        self._last = last  # token of the text so far
        self._ended: EndedBy = "none"
        self._has_landed = False  # whether the last closing at the cap began before it
        self._script: Script | None = None
        self._action: Action | None = None  # of the next step, once it is known
        # Most tokens of most replies are plain text: the next `_plain_left` tokens that are none of these ids change
        # nothing but the count.
        self._changing_ids: Container[int] = ()
        self._plain_left = 0
        if phase is Phase.BEFORE and plan.opens_thinking:
            self._script = Script(plan.start.ids)
        elif phase is Phase.BEFORE and plan.skips_thinking:
            self.phase, self._ended = Phase.ANSWER, "cap"
            self._script = Script(plan.no_thinking, closes="cap")
        self._settle()

    @classmethod
    def after(cls, plan: ThinkingPlan, prompt: Sequence[int]) -> Self:
        """The automaton of a reply to the prompt, before its first token."""
        return cls(plan, initial_phase(plan, prompt), prompt[-1] if prompt else None)

    # What is known of the sequence

    @property
    def tokens(self) -> int:
        """Thinking tokens so far, in all blocks: those that begin before the end marker does."""
        return self._counted - (self._pending if self.plan.table.is_certain[self._state] else 0)

    @property
    def _pending(self) -> int:
        """Counted tokens of an end marker that has begun. If it were complete now, they would not count."""
        return self._offsets.bit_count()

    @property
    def ended_by(self) -> EndedBy:
        """Why thinking ended: `length` while it has not, `none` where there was none."""
        if self.phase is not Phase.THINKING:
            return self._ended
        return "stop_token" if self._last in self.plan.stops else "length"

    @property
    def forced_by(self) -> ForcedBy | None:
        """What ended the thinking against the model's will; None where it goes on, or ended in another way."""
        if self.phase is Phase.THINKING:
            return None
        if self._ended != "cap":
            return self._ended if self._ended == "loop" or self._ended == "stop_token" else None
        if self._cap == 0 != self.plan.max_thinking_tokens:
            return "answer_now"
        return "landing" if self._has_landed else "cap"

    @property
    def remaining(self) -> int | None:
        """How many more thinking tokens the cap in force leaves; None without a cap."""
        return None if self._cap is None else max(self._cap - self.count, 0)

    @property
    def max_thinking_tokens(self) -> int | None:
        """The cap in force, as reports give it. Once thinking is over by "answer now", it is what has been thought."""
        return self.tokens if self._cap == 0 else self._cap

    @property
    def min_thinking_tokens(self) -> int:
        """The floor in force."""
        return self._floor

    @property
    def opening(self) -> int:
        """Outside of thinking, how many of the last tokens may turn out to begin the start marker."""
        return 0 if self.phase is Phase.THINKING else self._offsets.bit_count()

    @property
    def count(self) -> int:
        """Thinking tokens that the budget in force has seen: of this block or of the reply, by the plan's scope."""
        return self.tokens - self._first_token

    @property
    def extends(self) -> bool:
        """Whether an attempt to stop would be replaced now."""
        below_floor = self._counted - self._pending - self._first_token < self._floor
        return below_floor or self.waits - self._first_wait < self.plan.num_waits

    @property
    def is_steerable(self) -> bool:
        """Whether thinking can still be made longer: it goes on or is being opened, and its end has not begun."""
        if self.phase is Phase.BEFORE:
            return self._script is not None
        return self.phase is Phase.THINKING and (self._script is None or self._script.is_wait)

    # The action for the next step

    def action(self) -> Action:
        """What to do to the logits of the next step; the same object for as long as it stays the same."""
        if self._action is None:
            self._action = self._next_action()
        return self._action

    def _next_action(self) -> Action:
        if self._script is not None:
            return Force(self._script.token)
        if not self.plan.enforced:
            return FREE
        return self._thinking_action() if self.phase is Phase.THINKING else self._outside_action()

    def _thinking_action(self) -> Action:
        plan, table, state = self.plan, self.plan.table, self._state
        if self.extends:
            sources, target = table.ends[state] + plan.stops + table.openers[state], next(iter(self._wait), None)
            sources = tuple(token for token in sources if token != target)
        else:
            sources = plan.stops + (table.openers[state] if plan.closes_at_openers else ())
            target = table.rests[state][0]
        return Redirect(sources, target) if sources else FREE

    def _outside_action(self) -> Action:
        starting = self.plan.table.ends[self._state]
        return Redirect(starting, None) if self._is_exhausted and starting else FREE

    @property
    def _wait(self) -> Ids:
        return self.plan.waits[self.waits % len(self.plan.waits)]

    @property
    def _is_exhausted(self) -> bool:
        """Whether no thinking may be opened (again)."""
        if self._cap == 0 or self.plan.scope == "block":
            return self._cap == 0
        closing_at = self._closing_at
        return self._ended in ("cap", "loop") or (closing_at is not None and self.count >= closing_at)

    # The transition with a token

    def advance(self, token: int, redirected: bool | None = None) -> None:
        """Take the token that the step gave.

        Args:
            token: its id.
            redirected: where the step's action was a Redirect, whether the sources weighed more than the target or,
                without a target, than the likeliest other token. None where that is not known: then the first token of
                a wait text is taken for a replaced attempt to stop, and no other token for a redirected one.
        """
        if self._plain_left and token not in self._changing_ids:
            self._plain_left -= 1
            self._last = token
            if self.phase is Phase.THINKING:
                self._counted += 1
            return
        script = self._script
        if script is None:
            script = self._begun_by(token, redirected)
        elif token != script.token:
            script = None  # the step did not give what was forced
        self._script = script.rest if script else None
        self._take(token, script)
        self._settle()

    def advance_all(self, tokens: Sequence[int], redirected_at: Container[int] | None = None) -> None:
        """Advance over tokens in turn.

        Args:
            tokens: their ids.
            redirected_at: positions among them of those that were redirected; None where that is not known.
        """
        for position, token in enumerate(tokens):
            self.advance(token, None if redirected_at is None else position in redirected_at)

    def _begun_by(self, token: int, redirected: bool | None) -> Script | None:
        """What a redirect that gave the token begins: a wait, or the end marker in place of a stop token."""
        action = self.action()
        if self.phase is not Phase.THINKING or not isinstance(action, Redirect) or action.target not in (None, token):
            return None
        if redirected is None:
            self.has_guessed = True
            redirected = self.extends and action.target is not None
        if not redirected:
            return None
        if self.extends:
            wait = self._wait
            self.waits += 1
            return Script(wait, counted_to=len(wait)) if wait else None
        self._ended = "stop_token"
        return self._end_begun()

    def _end_begun(self) -> Script:
        """The rest of the end marker. What of it has been written does not count."""
        self._counted -= self._pending
        self._offsets = 0
        return Script(self.plan.table.rests[self._state])

    def _take(self, token: int, script: Script | None) -> None:
        """Count the token and open or close thinking. If there is a script, the token is its next one.

        A token that holds the end of one part of the reply and the beginning of another belongs to the first.
        """
        table = self.plan.table
        self._state, hit, size, length = table.step(self._state, token)
        self._last = token
        before = self._offsets << size
        if self.phase is Phase.THINKING:
            self._loop.take(token)
            counts = token not in self.plan.stops if script is None else script.counts
            if hit:
                within = (2 << length) - 1
                self._counted += (counts and size > length) - (before & within).bit_count()
                self._close(script)
            else:
                within = (2 << table.depths[self._state]) - 1
                self._counted += counts
                self._offsets = (before | counts << size) & within & ~1
        elif hit:
            self._open()
        else:
            depth = table.depths[self._state]
            self._offsets = (before | 1 << min(size, depth)) & ((2 << depth) - 1) & ~1

    def _open(self) -> None:
        self.phase, self._offsets, self._last = Phase.THINKING, 0, None
        self._loop.begin()
        if self.plan.scope == "block":
            self._first_token, self._first_wait = self.tokens, self.waits

    def _close(self, script: Script | None) -> None:
        self.phase, self._offsets = Phase.ANSWER, 0
        if script is None:
            self._ended = "model"
        elif script.closes:
            self._ended = script.closes

    # What follows from the state before the next token

    def _settle(self) -> None:
        """Begin to force what the state requires, and see how long it stays as it is then."""
        if self.plan.enforced and self.phase is Phase.THINKING and (self._script is None or self._script.is_wait):
            self._begin_closing()
        self._action = None
        plan = self.plan
        self._changing_ids = plan.changing_ids if self.phase is Phase.THINKING else plan.table.changing_outside
        self._plain_left = self._count_plain()

    def _begin_closing(self) -> None:
        """Force the rest of an end marker that the model has begun, or all of it at the cap or in a loop."""
        if self.plan.table.is_certain[self._state]:
            if self._script is None:
                self._ended, self._script = "model", self._end_begun()
        elif self._is_at_cap:
            self._has_landed = self.count < (self._closing_at or 0)
            self._script = self._closing("cap")
        elif self._loop.found:
            self._script = self._closing("loop")

    @property
    def _is_at_cap(self) -> bool:
        closing_at = self._closing_at
        if closing_at is None or self.count < self._landing_from:
            return False
        return self.count >= closing_at or self._last in self.plan.landings

    @property
    def _closing_at(self) -> int | None:
        """Count of thinking tokens at which the closing begins: the cap less the cap text; None without a cap."""
        return None if self._cap is None else self._cap - len(self.plan.cap_text)

    @property
    def _landing_from(self) -> int:
        """Count from which thinking may land, where there is a cap: at the latest where the closing begins."""
        at = self._closing_at or 0
        return min(max(at - self.plan.landing_tokens + 1, self._floor, 1), at)

    def _closing(self, reason: Literal["cap", "loop"]) -> Script:
        plan, after_newline = self.plan, self._last in self.plan.line_ends
        if plan.table.is_begun[self._state]:
            return Script(self._end_begun().tokens + plan.answer_prefix, closes=reason)
        if self._cap == 0 and not self.count:
            return Script(plan.closing_of_nothing(after_newline=after_newline), closes=reason)
        newline = () if after_newline else plan.newline
        fits = self._cap is None or self.count + len(plan.cap_text) <= self._cap
        cap_text = plan.cap_text if fits else ()
        counted_to = len(newline) + len(cap_text)
        return Script(newline + cap_text + plan.end.ids + plan.answer_prefix, len(newline), counted_to, reason)

    def _count_plain(self) -> int:
        """How many tokens of plain text would change neither the action nor what is forced next."""
        if self._script is not None or self.plan.table.depths[self._state]:
            return 0
        if self.phase is not Phase.THINKING:
            return sys.maxsize
        if self.plan.loop_tokens or (self.extends and not self._wait):
            return 0  # every token matters, or whether it was redirected
        changes = [sys.maxsize]
        if self.count < self._floor:
            changes.append(self._floor)
        if self.plan.enforced and self._cap is not None:
            changes.append(self._landing_from)
        return max(min(changes) - self.count - 1, 0)

    # Steering

    def steer(self, until: int | None) -> bool:
        """Change the bounds from the next token on.

        Args:
            until: the new floor ("think on until"): a lower cap is raised to it. None for "answer now": thinking that
                goes on is closed as at the cap, but without the cap text, for which there is no room; thinking that has
                not begun is never opened. No floor, no wait and no further block of thinking follows.

        Returns:
            Whether that was possible. Where thinking has ended, or its end is being written, nothing changes; where it
            has not begun, and is not being opened by force, it can only be kept from beginning.
        """
        if not self.plan.enforced or not (self.is_steerable or (until is None and self.phase is Phase.BEFORE)):
            return False
        if until is None:
            self._cap = self._floor = 0
        else:
            self._floor = until
            self._cap = None if self._cap is None else max(self._cap, until)
        self._settle()
        return True
