"""A budget and a family's markers, compiled with a tokenizer into token ids."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from .budget import MAX_TOKENS, Scope, ThinkingBudget
from .errors import InvalidBudget, UnknownMarkers
from .markers import ThinkingMarkers, Tokenizer
from .vocabulary import Vocabulary

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A marker as ids, and where it is intercepted.

    Attributes:
        ids: at least one id.
        gate: index of the first id that can only be the marker's: 0 where that is a token of its own, the last index
            where the marker is spelt in ordinary text (the ids before it may be text).
    """

    ids: Ids
    gate: int = 0

    def follow(self, matched: int, token: int) -> int:
        """How many of the marker's ids the text ends in after `token`, given how many it ended in before.

        A step of Knuth, Morris and Pratt's search; `len(ids)` means that the marker is complete.
        """
        while matched and (matched == len(self.ids) or token != self.ids[matched]):
            matched = self._shorter(matched)
        return matched + 1 if token == self.ids[matched] else 0

    def _shorter(self, matched: int) -> int:
        """Length of the longest proper prefix of the marker that is a suffix of its first `matched` ids."""
        head = self.ids[:matched]
        return next((size for size in range(matched - 1, 0, -1) if head[-size:] == head[:size]), 0)


@dataclass(slots=True)
class MarkerMatch:
    """A marker, and how many of its ids the text so far ends in."""

    marker: Marker
    matched: int = 0

    def take(self, token: int) -> bool:
        """Take the next token of the text; whether it completes the marker."""
        self.matched = self.marker.follow(self.matched, token)
        return self.matched == len(self.marker.ids)

    @property
    def next_id(self) -> int:
        return self.marker.ids[self.matched]

    @property
    def rest(self) -> Ids:
        """The ids that would complete it."""
        return self.marker.ids[self.matched :]

    @property
    def is_at_gate(self) -> bool:
        """Whether the next id would make it certain that the marker is meant."""
        return self.matched == self.marker.gate

    @property
    def past_gate(self) -> int:
        """How many ids have come from the gate on: 0 where what has come may be text."""
        return max(self.matched - self.marker.gate, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingPlan:
    """Everything that the automaton needs, as token ids and numbers.

    Attributes:
        start, end: the markers.
        also_ends: single ids that leave thinking, in addition to the end marker.
        stops: single ids that end the reply; while thinking they are replaced by the end marker.
        waits: replacements of an attempt to stop, in turn; an empty one only suppresses the attempt.
        cap_text: forced before the end marker at the cap and in a loop; counted.
        newline: forced before that if the thinking does not end in one; not counted; empty for none.
        answer_prefix: forced after the end marker at the cap.
        force_start: the plan opens thinking itself.
        max_thinking_tokens, min_thinking_tokens, num_waits, landing_tokens, loop_tokens, scope: as in ThinkingBudget.
        enforced: False for a plan that only counts: nothing is forced, redirected or masked.
        line_ends: ids after which no newline is needed.
        landings: ids at which the thinking may land; empty without `landing_tokens`.
        boundaries: control tokens; in a prompt they separate the turns.
        changing_ids: ids that may change the state while thinking where nothing is being forced; all others are plain
            text.
    """

    start: Marker
    end: Marker
    also_ends: Ids = ()
    stops: Ids = ()
    waits: tuple[Ids, ...] = ((),)
    cap_text: Ids = ()
    newline: Ids = ()
    answer_prefix: Ids = ()
    force_start: bool = False
    max_thinking_tokens: int | None = None
    min_thinking_tokens: int = 0
    num_waits: int = 0
    landing_tokens: int = 0
    loop_tokens: int = 0
    scope: Scope = "response"
    enforced: bool = True
    line_ends: frozenset[int] = frozenset()
    landings: frozenset[int] = frozenset()
    boundaries: frozenset[int] = frozenset()
    changing_ids: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first_of_waits = {wait[0] for wait in self.waits if wait}
        changing = first_of_waits.union(self.end.ids, self.stops, self.also_ends)
        object.__setattr__(self, "changing_ids", frozenset(changing))

    @property
    def opens_thinking(self) -> bool:
        """Whether thinking that the prompt has not opened is opened by force."""
        wanted = self.force_start or self.min_thinking_tokens > 0 or self.num_waits > 0
        return self.enforced and wanted and self.max_thinking_tokens != 0


def compile_plan(
    budget: ThinkingBudget | None,
    markers: ThinkingMarkers,
    tokenizer: Tokenizer,
    *,
    stop_ids: Iterable[int] = (),
    grammar: bool = False,
    only_closes: bool = False,
) -> ThinkingPlan:
    """The plan of a budget; without a budget, one that only counts. Equal arguments give the same plan from a cache.

    Args:
        stop_ids: further ids that end the reply: of the model's generation config, and the request's own.
        grammar: the answer has to follow a grammar, which begins where the thinking ends. So a budget opens the
            thinking (otherwise its end could not be known), only the end marker ends it, and no text is forced after
            that.
        only_closes: the budget opens no thinking that the model would not open, and writes no header of an answer in
            its place: a reply that ends its thinking within the cap is the one without a budget.

    Raises:
        InvalidBudget: for a wait or cap text that holds control tokens or a marker.
        UnknownMarkers: for a marker that the tokenizer cannot encode.
    """
    return _compile(budget, markers, Vocabulary.of(tokenizer), frozenset(stop_ids), grammar, only_closes)


@lru_cache(maxsize=1024)
def _compile(
    budget: ThinkingBudget | None,
    markers: ThinkingMarkers,
    vocabulary: Vocabulary,
    stop_ids: frozenset[int],
    grammar: bool,
    only_closes: bool,
) -> ThinkingPlan:
    if budget is not None and budget.max_thinking_tokens not in (None, MAX_TOKENS):
        # A cap that the server sets is another for each prompt's length: texts are encoded once for all caps.
        longest = _compile(
            replace(budget, max_thinking_tokens=MAX_TOKENS), markers, vocabulary, stop_ids, grammar, only_closes
        )
        return _with_cap(longest, budget.max_thinking_tokens)
    start = _marker(markers.start, vocabulary, shared=markers.shared_start)
    end = _marker(markers.end, vocabulary)
    also_ends = tuple(i for i in vocabulary.single(markers.also_ends) if i not in end.ids)
    stops = tuple(dict.fromkeys(vocabulary.stop + vocabulary.single(markers.stops) + tuple(sorted(stop_ids))))
    stops = tuple(token for token in stops if token not in end.ids and token not in also_ends)
    if grammar:
        stops, also_ends = stops + also_ends, ()
    prefix = vocabulary.encode(markers.answer_prefix)
    if grammar and vocabulary.special.isdisjoint(prefix):  # otherwise it is the header of the answer
        prefix = ()
    counting = ThinkingPlan(
        start=start, end=end, also_ends=also_ends, stops=stops, boundaries=vocabulary.special, enforced=False
    )
    if budget is None:
        return counting
    wait_text = markers.wait_text if budget.wait_text is None else budget.wait_text
    wait_texts = (wait_text,) if isinstance(wait_text, str) else wait_text
    cap_text = markers.cap_text if budget.cap_text is None else budget.cap_text
    # A request's own stop ids do not make its texts invalid here: the server checks that conflict on its own.
    texts = replace(counting, stops=tuple(token for token in stops if token not in stop_ids))
    cap_ids = _plain("cap_text", cap_text, texts, vocabulary)
    return ThinkingPlan(
        start=start,
        end=end,
        also_ends=also_ends,
        stops=stops,
        waits=tuple(_plain("wait_text", text, texts, vocabulary) for text in wait_texts),
        cap_text=cap_ids if budget.closes else (),
        newline=vocabulary.encode("\n") if markers.newline_before_end else (),
        answer_prefix=prefix,
        force_start=not only_closes and (markers.force_start or (grammar and not markers.shared_start)),
        max_thinking_tokens=budget.max_thinking_tokens,
        min_thinking_tokens=budget.min_thinking_tokens,
        num_waits=budget.num_waits,
        landing_tokens=budget.landing_tokens,
        loop_tokens=budget.loop_tokens,
        scope=budget.scope,
        line_ends=vocabulary.line_ends if markers.newline_before_end else frozenset(),
        landings=vocabulary.landings if budget.landing_tokens else frozenset(),
        boundaries=vocabulary.special,
    )


def _with_cap(plan: ThinkingPlan, cap: int | None) -> ThinkingPlan:
    cap_text = plan.cap_text if cap is None or len(plan.cap_text) <= cap else ()
    return replace(plan, max_thinking_tokens=cap, cap_text=cap_text)


def _marker(text: str, vocabulary: Vocabulary, *, shared: bool = False) -> Marker:
    ids = vocabulary.encode(text)
    if not ids:
        raise UnknownMarkers(f"the tokenizer has no token for the marker {text!r}")
    if ids[0] not in vocabulary.atomic:
        return Marker(ids=ids, gate=len(ids) - 1)
    return Marker(ids=ids, gate=1 if shared and len(ids) > 1 else 0)


def _plain(field: str, text: str, counting: ThinkingPlan, vocabulary: Vocabulary) -> Ids:
    """Ids of a text that is forced while thinking; it must be plain text there."""
    ids, end = vocabulary.encode(text), counting.end
    control = vocabulary.special.union(counting.stops, counting.also_ends)
    matched = 0
    for token in ids:
        matched = end.follow(matched, token)
        if token in control or matched > end.gate:
            raise InvalidBudget(field, f"{text!r} holds a control token or a marker; only plain text is allowed")
    if any(ids[:size] == end.ids[-size:] for size in range(1, len(end.ids)) if end.gate):
        raise InvalidBudget(field, f"{text!r} begins like the rest of the end marker, so it could complete one")
    return ids
