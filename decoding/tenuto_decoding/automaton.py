"""Budget forcing as an automaton: a state for each sequence, a transition for each token, an action for each step.

The state is a function of the prompt's phase, of the generated tokens and, for each of them, of whether it came from a
redirect and of how the sequence was steered before it; nothing else. So it can be replayed wherever these are known.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from .actions import FREE, Action, Force, Redirect
from .loops import LoopWatch
from .plan import Ids, ThinkingPlan
from .prompt import Phase, initial_phase

EndedBy = Literal["model", "cap", "loop", "stop_token", "length", "none"]

#: More tokens than any reply has.
_MANY = 1 << 62


@dataclass(frozen=True, slots=True)
class _Script:
    """Tokens that are forced one after the other; those from `counted_from` up to `counted_to` count as thinking."""

    tokens: Ids
    counted_from: int = 0
    counted_to: int = 0
    closes: Literal["cap", "loop"] | None = None

    @property
    def is_wait(self) -> bool:
        return self.closes is None and self.counted_to > 0


class ThinkingAutomaton:
    """The budget of one sequence, followed token by token.

    Make it with `after(plan, prompt)`; then, in turn, call `action()` for the next step and `advance(token)` with the
    token that the step gave.

    Attributes:
        plan: what is enforced.
        phase: where the next token stands.
        tokens: thinking tokens so far, in all blocks.
        waits: attempts to end that were replaced so far, in all blocks.
        notable: ids that may change the state as it is now; all others are plain text.
        plain_left: so many tokens of plain text change nothing but the count.
        guessed: whether some token may have come from a redirect or not, and it was not known which.
    """

    __slots__ = (
        "_action",
        "_at",
        "_base",
        "_cap",
        "_ended",
        "_floor",
        "_last",
        "_loop",
        "_matched",
        "_script",
        "_waits_base",
        "guessed",
        "notable",
        "phase",
        "plain_left",
        "plan",
        "tokens",
        "waits",
    )

    def __init__(self, plan: ThinkingPlan, phase: Phase = Phase.BEFORE, last: int | None = None) -> None:
        self.plan = plan
        self.phase = phase
        self.tokens = 0
        self.waits = 0
        self.guessed = False
        self._cap, self._floor = plan.max_thinking_tokens, plan.min_thinking_tokens  # in force; steering changes them
        self._loop = LoopWatch(plan.loop_tokens)
        self._base = self._waits_base = 0  # where the current block's budget starts to count
        self._matched = 0  # ids of the marker that is looked for which the text ends in
        self._last = last  # last token of the text so far
        self._ended: EndedBy = "none"
        self._script: _Script | None = None
        self._at = 0
        self._action: Action | None = None  # the next step's, once it was asked for
        self.plain_left = 0
        if phase is Phase.BEFORE and plan.opens_itself:
            self._force(_Script(plan.start.ids))
        elif phase is Phase.BEFORE and plan.enforced and plan.force_start and plan.max_thinking_tokens == 0:
            self.phase, self._ended = Phase.ANSWER, "cap"
            self._force(_Script(plan.end.ids + plan.answer_prefix, closes="cap"))
        self._arm()

    @classmethod
    def after(cls, plan: ThinkingPlan, prompt: Sequence[int]) -> Self:
        """The automaton of a reply to the prompt, before its first token."""
        return cls(plan, initial_phase(plan, prompt), prompt[-1] if prompt else None)

    @property
    def ended_by(self) -> EndedBy:
        """Why thinking ended: `length` while it has not, `none` where there was none."""
        if self.phase is not Phase.THINKING:
            return self._ended
        return "stop_token" if self._last in self.plan.stops else "length"

    @property
    def max_thinking_tokens(self) -> int | None:
        """The cap in force; where nothing may be thought any more, what has been."""
        return self.tokens if self._cap == 0 else self._cap

    @property
    def min_thinking_tokens(self) -> int:
        """The floor in force."""
        return self._floor

    @property
    def is_steerable(self) -> bool:
        """Whether the thinking can still be made longer: it goes on, or is being opened, and no end of it has begun."""
        if self.phase is Phase.BEFORE:
            return self._script is not None
        return self.phase is Phase.THINKING and (self._script is None or self._script.is_wait)

    @property
    def count(self) -> int:
        """Thinking tokens that the budget in force has seen: of this block or of the reply, by the plan's scope."""
        return self.tokens - self._base

    @property
    def extends(self) -> bool:
        """Whether an attempt to end thinking now would be replaced."""
        plan = self.plan
        # The ids of a spelt-out end marker were counted as text; were it completed now they would not have been.
        return self.count - self._matched < self._floor or self.waits - self._waits_base < plan.num_waits

    def action(self) -> Action:
        """What to do to the logits of the next step; the same object for as long as it stays the same."""
        if self._action is None:
            self._action = self._next_action()
        return self._action

    def _next_action(self) -> Action:
        if self._script is not None:
            return Force(self._script.tokens[self._at])
        if not self.plan.enforced:
            return FREE
        return self._thinking_action() if self.phase is Phase.THINKING else self._outside_action()

    def advance(self, token: int, redirected: bool | None = None) -> None:
        """Take the token that the step gave.

        Args:
            token: its id.
            redirected: where the step's action was a Redirect, whether the sources weighed more than the target or,
                without a target, than the likeliest other token. None where that is not known: then the first token of
                a wait text is taken for a replaced attempt to end, and nothing else for one.
        """
        if self.plain_left and token not in self.notable:
            self.pass_over(1, token)  # whatever is known of it, and the action stays what it was
            return
        script, at = self._script, self._at
        if script is not None and token == script.tokens[at]:
            self._script, self._at = (script, at + 1) if at + 1 < len(script.tokens) else (None, 0)
            self._take(token, counted=script.counted_from <= at < script.counted_to, script=script)
        else:
            started = self._redirected(token, redirected) if script is None else None
            self._script = None
            if started is None:
                self._take(token)
            else:
                self._take(token, counted=started.counted_to > 0, script=started)
                if len(started.tokens) > 1:
                    self._force(started, at=1)
        self._arm()

    def pass_over(self, number: int, last: int) -> None:
        """Advance over so many tokens at once, none of them notable and no more than `plain_left`."""
        self.plain_left -= number
        self._last = last
        if self.phase is Phase.THINKING:
            self.tokens += number

    def advance_all(self, tokens: Sequence[int], fired: Container[int] | None = None) -> None:
        """Advance over tokens, many at once where they are plain text.

        Args:
            tokens: their ids.
            fired: places among them of those for which `advance` is to be told that they were redirected; None where
                nothing is known of any.
        """
        at = 0
        while at < len(tokens):
            stop = self._plain_until(tokens, at)
            if stop > at:
                self.pass_over(stop - at, tokens[stop - 1])
                at = stop
            else:
                self.advance(tokens[at], None if fired is None else at in fired)
                at += 1

    def _plain_until(self, tokens: Sequence[int], start: int) -> int:
        """Where what may be passed over from `start` on ends."""
        notable, stop = self.notable, min(len(tokens), start + self.plain_left)
        for place in range(start, stop):
            if tokens[place] in notable:
                return place
        return stop

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
        self._arm()
        return True

    def _thinking_action(self) -> Action:
        plan, gate = self.plan, self.plan.end.gate
        if self.extends:
            ending = (plan.end.ids[gate],) if self._matched == gate else ()
            target = next(iter(self._wait), None)
            sources = tuple(token for token in ending + plan.stops + plan.also_ends if token != target)
            return Redirect(sources, target) if sources else FREE
        return Redirect(plan.stops, plan.end.ids[self._matched]) if plan.stops else FREE

    def _outside_action(self) -> Action:
        start = self.plan.start
        if self._exhausted and self._matched == start.gate:
            return Redirect((start.ids[start.gate],), None)
        return FREE

    @property
    def _wait(self) -> Ids:
        return self.plan.waits[self.waits % len(self.plan.waits)]

    @property
    def _exhausted(self) -> bool:
        """Whether no thinking may be opened (again)."""
        if self._cap == 0 or self.plan.scope == "block":
            return self._cap == 0
        closing_at = self._closing_at
        return self._ended in ("cap", "loop") or (closing_at is not None and self.count >= closing_at)

    @property
    def _closing_at(self) -> int | None:
        """Count of thinking tokens at which the closing begins: the cap less the cap text; None without a cap."""
        return None if self._cap is None else self._cap - len(self.plan.cap_text)

    def _redirected(self, token: int, fired: bool | None) -> _Script | None:
        """What a redirect that gave `token` begins: a wait, or the end marker in place of a stop token."""
        action = self.action()
        if not isinstance(action, Redirect) or self.phase is not Phase.THINKING:
            return None
        if action.target not in (None, token):
            return None
        if fired is None:
            self.guessed = True
            fired = self.extends and action.target is not None
        if not fired:
            return None
        if self.extends:
            wait = self._wait
            self.waits += 1
            return _Script(wait, counted_to=len(wait)) if wait else None
        self._ended = "stop_token"
        self.tokens -= self._matched
        return _Script(self.plan.end.ids[self._matched :])

    def _take(self, token: int, *, counted: bool = True, script: _Script | None = None) -> None:
        marker = self.plan.end if self.phase is Phase.THINKING else self.plan.start
        # An end marker that has begun may turn out to be text, unless it is enforced: then its rest is forced.
        held = 0 if self.plan.enforced else self._held
        self._matched = marker.follow(self._matched, token)
        complete = self._matched == len(marker.ids)
        self._last = token
        if self.phase is not Phase.THINKING:
            if complete:
                self._open()
            return
        self._loop.take(token)
        if complete:
            self._close(script, spelt=self._matched - 1)
        elif token in self.plan.also_ends:
            self.tokens += held
            self._close(script, spelt=0)
        elif counted:
            self.tokens += max(held + (token not in self.plan.stops) - self._held, 0)

    @property
    def _held(self) -> int:
        """Tokens of an end marker that is being written, as far as they are not counted as text."""
        return max(self._matched - self.plan.end.gate, 0)

    def _open(self) -> None:
        self.phase = Phase.THINKING
        self._matched, self._last = 0, None
        self._loop.begin()
        if self.plan.scope == "block":
            self._base, self._waits_base = self.tokens, self.waits

    def _close(self, script: _Script | None, spelt: int) -> None:
        self.phase = Phase.ANSWER
        self._matched = 0
        if script is None:
            self._ended = "model"
            self.tokens -= min(spelt, self.plan.end.gate)  # counted as text while the marker was being spelt
        elif script.closes:
            self._ended = script.closes

    def _arm(self) -> None:
        """Start what must follow from the state, and see how long it stays as it is then."""
        self._begin_what_follows()
        self._action = None
        self.notable = self.plan.notable if self.phase is Phase.THINKING else self.plan.notable_outside
        self.plain_left = self._count_plain()

    def _count_plain(self) -> int:
        """How many tokens that are not notable change neither the action nor anything but the count.

        Most of a reply is that, so most steps of most sequences cost next to nothing.
        """
        if self._script is not None or self._matched:
            return 0
        if self.phase is not Phase.THINKING:
            return _MANY
        if self.plan.loop_tokens or (self.extends and not self._wait):
            return 0  # what every token is matters, or what became of it
        ahead = [_MANY]
        if self.count < self._floor:
            ahead.append(self._floor - self.count)
        if self.plan.enforced and self._closing_at is not None:
            ahead.append(self._closing_from - self.count)
        return max(min(ahead) - 1, 0)

    def _begin_what_follows(self) -> None:
        """The closing at the cap or in a loop, or the rest of an end marker."""
        script, plan = self._script, self.plan
        if not plan.enforced or self.phase is not Phase.THINKING or (script is not None and script.closes):
            return
        if self._matched > plan.end.gate:
            if script is None:
                self._ended = "model"
                self._force(_Script(plan.end.ids[self._matched :]))
        elif script is None or script.counted_to > 0:
            if self._must_close():
                self._force(self._closing("cap"))
            elif self._loop.found:
                self._force(self._closing("loop"))

    def _must_close(self) -> bool:
        closing_at = self._closing_at
        if closing_at is None or self.count < self._closing_from:
            return False
        return self.count >= closing_at or self._last in self.plan.landings

    @property
    def _closing_from(self) -> int:
        """Count from which the thinking may land, where there is a cap: at the latest where the closing begins."""
        at = self._closing_at or 0
        return min(max(at - self.plan.landing_tokens + 1, self._floor, 1), at)

    def _closing(self, reason: Literal["cap", "loop"]) -> _Script:
        plan = self.plan
        newline = () if self._last in plan.line_ends else plan.newline
        fits = self._cap is None or self.count + len(plan.cap_text) <= self._cap
        cap_text = plan.cap_text if fits else ()
        return _Script(
            newline + cap_text + plan.end.ids + plan.answer_prefix,
            counted_from=len(newline),
            counted_to=len(newline) + len(cap_text),
            closes=reason,
        )

    def _force(self, script: _Script, at: int = 0) -> None:
        self._script, self._at = script, at
