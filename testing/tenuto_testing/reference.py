"""s1's stop-append-resume procedure, written out as plain repeated calls of `generate`.

Thinking is generated until the model tries to stop; the stop token is removed, a text is appended, and generation
resumes with all of this as the prompt (arXiv 2501.19393, section 3.1; `_model_generate` of its code). Here it is
extended by the project's own fields: floors, lists of wait texts, cap texts, landing, several blocks per reply.

It uses no code of the project: the engine sees prompts of token ids, stop ids and ids that must not be drawn.
"""

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from vllm import LLM, SamplingParams

Ids = tuple[int, ...]
Where = Literal["before", "thinking", "answer"]

#: Far below any logit, but finite, so that it can be added to one.
BARRED = -1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How a model marks its thinking, as ids.

    Attributes:
        start, end: the markers.
        spelt_start, spelt_end: whether a marker consists of ordinary tokens, so that only its last id identifies it.
        stops: tokens by which the model would end its reply; while thinking, they end the thinking.
        also_ends: other single tokens that end the thinking.
        finish: tokens at which the engine ends a reply.
        newline: inserted before a forced end unless the text ends in one of `line_ends`; may be empty.
        landings: tokens that complete a sentence or a line.
        prefix: appended to a forced end.
        opens: whether a budget opens the thinking if the prompt has not.
        unknown: rows without a token; they are never drawn.
    """

    start: Ids
    end: Ids
    spelt_start: bool = False
    spelt_end: bool = False
    stops: Ids = ()
    also_ends: Ids = ()
    finish: Ids = ()
    newline: Ids = ()
    line_ends: frozenset[int] = frozenset()
    landings: frozenset[int] = frozenset()
    prefix: Ids = ()
    opens: bool = False
    unknown: Ids = ()

    @property
    def interruptions(self) -> Ids:
        """Ids at which generation stops while thinking."""
        marker = () if self.spelt_end else self.end[:1]
        return marker + self.stops + self.also_ends


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceBudget:
    """A budget, as ids. The first `waits` attempts to stop are replaced at any count; `texts` are used in turn."""

    cap: int | None = None
    floor: int = 0
    waits: int = 0
    texts: tuple[Ids, ...] = ((),)
    cap_text: Ids = ()
    landing: int = 0
    per_block: bool = False


class Call(NamedTuple):
    """One call of `generate`: up to `length` tokens after `prompt`, up to the first of `stops`, none of `never`."""

    prompt: Ids
    length: int
    stops: Ids
    never: Ids


Steps = Generator[Call, Sequence[int], None]
Stretch = Generator[Call, Sequence[int], bool]  # returns whether thinking comes next


class Procedure:
    """One reply. `steps()` yields the calls of the engine that it needs; then the attributes hold the result.

    Attributes:
        text: the reply's ids.
        count: thinking tokens in it.
        waits: attempts that were replaced.
        ended: why thinking ended: model, cap, stop_token, length (it has not), none (there was none).
        events: how often each kind of event happened, to check what the cases cover.
    """

    def __init__(self, form: Format, budget: ReferenceBudget, prompt: Ids, where: Where, limit: int) -> None:
        self.form = form
        self.budget = budget
        self.prompt = prompt
        self.where = where
        self.limit = limit
        self.text: list[int] = []
        self.count = 0
        self.waits = 0
        self.ended = "none"
        self.events: Counter[str] = Counter()
        self._stretch = 0  # where in the text the current stretch (thinking or not) begins
        self._counted = self._waited = 0  # used by earlier blocks, if each block has its own budget
        self._over = False

    def steps(self) -> Steps:
        thinking = self._begin()
        while not self._over:
            if thinking:
                self.ended = "length"  # until something else ends it
            if not self._room:
                return
            thinking = yield from self._think() if thinking else self._write_on()

    @property
    def _room(self) -> int:
        return self.limit - len(self.text)

    @property
    def _closing_at(self) -> int | None:
        """Count at which the cap begins to close; a cap text longer than the cap is left out."""
        cap, length = self.budget.cap, len(self.budget.cap_text)
        return None if cap is None else cap - length if length <= cap else cap

    @property
    def _spent(self) -> int:
        return self.count - self._counted

    @property
    def _barred(self) -> bool:
        """Whether thinking must not be opened (again)."""
        if self.budget.cap is None or self.budget.cap == 0 or self.budget.per_block:
            return self.budget.cap == 0
        return self.ended == "cap" or self._spent >= (self._closing_at or 0)

    def _begin(self) -> bool:
        """Append what is forced at the very beginning. Returns whether the reply then thinks."""
        form, budget = self.form, self.budget
        if self.where != "before":
            return self.where == "thinking"
        if form.opens and budget.cap == 0:
            self.ended = "cap"
            self._append(form.end)
            self._stretch = len(self.text)
            self._append(form.prefix)
        elif (form.opens or budget.floor or budget.waits) and budget.cap != 0:
            self.events["opened by force"] += 1
            return self._append(form.start)
        return False

    def _write_on(self) -> Stretch:
        """Outside thinking: generate until the reply ends or the model opens its thinking. Returns whether it did."""
        form = self.form
        while self._room and not self._over:
            never = form.start[:1] if self._barred and not form.spelt_start else ()
            written = yield self._call(self._room, never=never)
            place = self._first_end_of(form.start, written)
            if place is None:
                self._take_all(written)
                self._over = True
            elif not self._barred:
                self.text += written[:place]
                self.events["opened by the model"] += 1
                return True
            else:
                self.text += written[: place - 1]
                self.events["kept from opening"] += 1
                self._take_all((yield self._call(1, never=form.start[-1:])))
        return False

    def _think(self) -> Stretch:
        """While thinking: generate and handle every attempt to stop, until thinking has ended. Returns False."""
        self._stretch = len(self.text)
        if self.budget.per_block:
            self._counted, self._waited = self.count, self.waits
        while self._room:
            left = None if self._closing_at is None else self._closing_at - self._spent
            if left is not None and (left <= 0 or self._landed):
                self._close()
                return False
            written = yield self._call(self._room if left is None else min(left, self._room), self.form.interruptions)
            for token in written:
                if token in self.form.interruptions or self._completes_end(token):
                    if not self._extends:
                        self._end(token)
                        return False
                    yield from self._wait(token)
                    break
                self._think_token(token)
                if self._landed:
                    break
        return False

    @property
    def _extends(self) -> bool:
        """Whether an attempt to stop is replaced here."""
        spent = self._spent - self._spelt  # if thinking ended here, the ids of the marker would not count
        return spent < self.budget.floor or self.waits - self._waited < self.budget.waits

    def _wait(self, token: int) -> Steps:
        """Instead of the token that stops: append a wait text, or if that is empty only mask the token."""
        self.events["wait for the floor" if self.waits - self._waited >= self.budget.waits else "wait"] += 1
        self.events["wait for a stop token" if token in self.form.stops else "wait for a marker"] += 1
        text = self.budget.texts[self.waits % len(self.budget.texts)]
        self.waits += 1
        for appended, later in enumerate(text, 1):
            self._think_token(later)
            if not self._room or self._landed or self._spent == self._closing_at:
                if appended < len(text):
                    self.events["wait cut by the cap" if self._room else "wait cut by the limit"] += 1
                return
        if not text:
            self.events["suppressed"] += 1
            last = self.form.end[-1:] if self._spelt == len(self.form.end) - 1 else ()
            for drawn in (yield self._call(1, never=self.form.interruptions + last)):
                self._think_token(drawn)

    def _end(self, token: int) -> None:
        """The model's own end: the end marker is appended, or completed if it is spelt."""
        spelt = self._spelt
        if token in self.form.also_ends:
            self._append((token,))
            self.ended = "model"
        else:
            self.count -= spelt
            if self._append(self.form.end[spelt:]):
                self.ended = "stop_token" if token in self.form.stops else "model"
        self.events[f"ended by {self.ended}"] += 1
        self._stretch = len(self.text)

    def _close(self) -> None:
        """Close the thinking because of the cap."""
        form, cap_text = self.form, self.budget.cap_text
        self.events["landed" if self._landed and self._spent != self._closing_at else "capped"] += 1
        if (*self.prompt, *self.text)[-1] not in form.line_ends:
            self._append(form.newline)
        if self._spent + len(cap_text) <= (self.budget.cap or 0):
            for token in cap_text[: self._room]:
                self._think_token(token)
        if self._append(form.end):
            self.ended = "cap"
        self._stretch = len(self.text)
        self._append(form.prefix)

    @property
    def _spelt(self) -> int:
        """How many of the first ids of a spelt end marker are at the end of this stretch of thinking."""
        if not self.form.spelt_end:
            return 0
        thought = tuple(self.text[self._stretch :])
        return next((n for n in range(len(self.form.end) - 1, 0, -1) if thought[-n:] == self.form.end[:n]), 0)

    def _completes_end(self, token: int) -> bool:
        end = self.form.end
        thought = (*self.text[self._stretch :], token)
        return self.form.spelt_end and thought[-len(end) :] == end

    def _first_end_of(self, marker: Ids, written: Sequence[int]) -> int | None:
        """After how many of the written tokens the stretch contains the marker; None if it never does."""
        stretch = (*self.text[self._stretch :], *written)
        before = len(stretch) - len(written)
        places = range(max(before + 1, len(marker)), len(stretch) + 1)
        return next((at - before for at in places if stretch[at - len(marker) : at] == marker), None)

    @property
    def _landed(self) -> bool:
        """Whether the thinking, near its cap and not below its floor, has just completed a sentence or line."""
        at, spent = self._closing_at, self._spent
        if (
            at is None
            or spent <= at - self.budget.landing
            or spent < self.budget.floor
            or len(self.text) == self._stretch
        ):
            return False
        return self.text[-1] in self.form.landings

    def _think_token(self, token: int) -> None:
        self.text.append(token)
        self.count += 1

    def _append(self, ids: Ids) -> bool:
        """Append as many as the limit allows. Returns whether these were all."""
        room = self._room
        self.text += ids[:room]
        return len(ids) <= room

    def _take_all(self, written: Sequence[int]) -> None:
        self.text += written
        self._over = self._over or (bool(written) and written[-1] in self.form.finish)

    def _call(self, length: int, stops: Ids = (), never: Ids = ()) -> Call:
        return Call((*self.prompt, *self.text), length, stops, self.form.unknown + never)


def carry_out(llm: LLM, procedures: Sequence[Procedure], **sampling: Any) -> int:
    """Run the procedures as one batch, greedily unless `sampling` says otherwise.

    Returns:
        The number of rounds of `generate` calls that the longest one took.
    """
    running = {index: procedure.steps() for index, procedure in enumerate(procedures)}
    calls = {index: call for index, steps in running.items() if (call := next(steps, None)) is not None}
    rounds = 0
    while calls:
        rounds += 1
        answers = llm.generate(
            [{"prompt_token_ids": list(call.prompt)} for call in calls.values()],
            [_parameters(call, sampling) for call in calls.values()],
            use_tqdm=False,
        )
        following = {}
        for index, answer in zip(calls, answers, strict=True):
            try:
                following[index] = running[index].send(answer.outputs[0].token_ids)
            except StopIteration:
                continue
        calls = following
    return rounds


def _parameters(call: Call, sampling: dict[str, Any]) -> SamplingParams:
    return SamplingParams(
        **{"temperature": 0.0, **sampling},
        max_tokens=call.length,
        stop_token_ids=list(call.stops),
        logit_bias=dict.fromkeys(call.never, BARRED) or None,
        detokenize=False,
    )
