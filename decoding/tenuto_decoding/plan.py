"""A budget and a family's markers, compiled with a tokenizer into token ids."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Self

from .budget import MAX_TOKENS, Scope, ThinkingBudget
from .errors import InvalidBudget, UnknownMarkers
from .markers import ThinkingMarkers, Tokenizer
from .matching import Ids, MarkerTable, Pattern, is_added
from .vocabulary import Vocabulary

Patterns = tuple[Pattern, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A marker: how it is forced, and by what it is recognized.

    Attributes:
        ids: as it is forced; at least one.
        patterns: the texts that the model may write; the first is that of `ids`.
    """

    ids: Ids
    patterns: Patterns

    @classmethod
    def of_ids(cls, ids: Ids, gate: int = 0) -> Self:
        """The marker of tokens each of which is a symbol; see `Pattern.of_ids`."""
        return cls(ids=ids, patterns=(Pattern.of_ids(ids, gate),))


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingPlan:
    """Everything that the automaton needs, as token ids and numbers.

    Attributes:
        start, end: the markers.
        also_ends: other texts that leave thinking.
        stops: single ids that end the reply; while thinking they are replaced by the end marker.
        waits: replacements of an attempt to stop, in turn; an empty one only suppresses the attempt.
        cap_text: forced before the end marker at the cap and in a loop; counted.
        newline: forced before that if the thinking does not end in one; not counted; empty for none.
        answer_prefix: forced after the end marker at the cap.
        no_thinking: forced in place of thinking that has not been opened where the cap is 0; empty to only keep the
            model from opening it.
        no_text: the closing where the cap is 0 and nothing has been thought, where it differs from that of other
            thinking: after a text that ends in a newline, and after any other.
        force_start: the plan opens thinking itself.
        closes_at_openers: a text that leaves thinking is replaced by the end marker, as a stop is.
        max_thinking_tokens, min_thinking_tokens, num_waits, landing_tokens, loop_tokens, scope: as in ThinkingBudget.
        enforced: False for a plan that only counts: nothing is forced, redirected or masked.
        line_ends: ids after which no newline is needed.
        landings: ids at which the thinking may land; empty without `landing_tokens`.
        boundaries: added tokens that are no part of thinking; in a prompt they separate the turns.
        table: the search for the markers; made from them if not given.
        changing_ids: ids that may change the state while thinking where nothing is being forced; all others are plain
            text.
    """

    start: Marker
    end: Marker
    also_ends: Patterns = ()
    stops: Ids = ()
    waits: tuple[Ids, ...] = ((),)
    cap_text: Ids = ()
    newline: Ids = ()
    answer_prefix: Ids = ()
    no_thinking: Ids = ()
    no_text: tuple[Ids, Ids] | None = None
    force_start: bool = False
    closes_at_openers: bool = False
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
    table: MarkerTable = field(default=None, repr=False, compare=False)  # type: ignore[assignment]
    changing_ids: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.table is None:
            object.__setattr__(self, "table", _table_of_ids(self.start.patterns, self.end.patterns, self.also_ends))
        first_of_waits = {wait[0] for wait in self.waits if wait}
        changing = self.table.changing_inside.union(first_of_waits, self.stops)
        object.__setattr__(self, "changing_ids", changing)

    @property
    def opens_thinking(self) -> bool:
        """Whether thinking that the prompt has not opened is opened by force."""
        wanted = self.force_start or self.min_thinking_tokens > 0 or self.num_waits > 0
        return self.enforced and wanted and self.max_thinking_tokens != 0

    @property
    def skips_thinking(self) -> bool:
        """Whether `no_thinking` is forced where the prompt has not opened thinking."""
        return self.enforced and self.max_thinking_tokens == 0 and bool(self.no_thinking)

    def closing_of_nothing(self, *, after_newline: bool) -> Ids:
        """What closes thinking that has no text, where the cap is 0."""
        if self.no_text is not None:
            return self.no_text[0 if after_newline else 1]
        return (() if after_newline else self.newline) + self.end.ids + self.answer_prefix


@lru_cache(maxsize=1024)
def _table_of_ids(start: Patterns, end: Patterns, also_ends: Patterns) -> MarkerTable:
    """The search for markers of which every token is a symbol."""
    return MarkerTable(start, end, also_ends)


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
    search = _search(markers, vocabulary)
    stops = tuple(dict.fromkeys(vocabulary.stop + vocabulary.single(markers.stops) + tuple(sorted(stop_ids))))
    leaving = {*search.end.ids, *vocabulary.single(markers.also_ends)}
    stops = tuple(token for token in stops if token not in leaving)
    prefix = vocabulary.encode(markers.answer_prefix)
    if grammar and vocabulary.control.isdisjoint(prefix):  # otherwise it is the header of the answer
        prefix = ()
    counting = ThinkingPlan(
        start=search.start,
        end=search.end,
        also_ends=search.also_ends,
        stops=stops,
        boundaries=vocabulary.atomic.difference(vocabulary.single(markers.inside)),
        enforced=False,
        table=search.table,
    )
    if budget is None:
        return counting
    wait_text = markers.wait_text if budget.wait_text is None else budget.wait_text
    wait_texts = (wait_text,) if isinstance(wait_text, str) else wait_text
    cap_text = markers.cap_text if budget.cap_text is None else budget.cap_text
    # A request's own stop ids do not make its texts invalid here: the server checks that conflict on its own.
    texts = replace(counting, stops=tuple(token for token in stops if token not in stop_ids))
    cap_ids = _plain("cap_text", cap_text, texts, vocabulary)
    opens = not only_closes and (markers.force_start or (grammar and not markers.shared_start))
    return replace(
        counting,
        waits=tuple(_plain("wait_text", text, texts, vocabulary) for text in wait_texts),
        cap_text=cap_ids if budget.closes else (),
        newline=vocabulary.encode("\n") if markers.newline_before_end else (),
        answer_prefix=prefix,
        **({} if only_closes else _without_thinking(markers, prefix, vocabulary, grammar=grammar, force_start=opens)),
        force_start=opens,
        closes_at_openers=grammar,
        max_thinking_tokens=budget.max_thinking_tokens,
        min_thinking_tokens=budget.min_thinking_tokens,
        num_waits=budget.num_waits,
        landing_tokens=budget.landing_tokens,
        loop_tokens=budget.loop_tokens,
        scope=budget.scope,
        enforced=True,
        line_ends=vocabulary.line_ends if markers.newline_before_end or markers.no_thinking else frozenset(),
        landings=vocabulary.landings if budget.landing_tokens else frozenset(),
    )


def _with_cap(plan: ThinkingPlan, cap: int | None) -> ThinkingPlan:
    cap_text = plan.cap_text if cap is None or len(plan.cap_text) <= cap else ()
    return replace(plan, max_thinking_tokens=cap, cap_text=cap_text)


@dataclass(frozen=True, slots=True)
class _Search:
    """The markers as patterns, and the table of their search."""

    start: Marker
    end: Marker
    also_ends: Patterns
    table: MarkerTable


@lru_cache(maxsize=64)
def _search(markers: ThinkingMarkers, vocabulary: Vocabulary) -> _Search:
    start = Marker(
        ids=_encode_marker(markers.start, vocabulary),
        patterns=tuple(
            _pattern(text, vocabulary, shared=markers.shared_start)
            for text in (markers.start, *markers.start_spellings)
        ),
    )
    end = Marker(
        ids=_encode_marker(markers.end, vocabulary),
        patterns=tuple(_pattern(text, vocabulary, attempt=_attempt) for text in (markers.end, *markers.end_spellings)),
    )
    also_ends = tuple(_pattern(text, vocabulary) for text in markers.also_ends if vocabulary.may_write(text))
    turns = [vocabulary.symbols(text) for text in markers.turn]

    def rest(symbols: str) -> Ids:
        """What completes the end marker; in the middle of a character, which no text can complete, all of it."""
        try:
            return vocabulary.spell(symbols)
        except UnicodeDecodeError:
            return end.ids

    table = MarkerTable(start.patterns, end.patterns, also_ends, turns, tokens=vocabulary.tokens(), spell=rest)
    return _Search(start, end, also_ends, table)


def _encode_marker(text: str, vocabulary: Vocabulary) -> Ids:
    ids = vocabulary.encode_marker(text)
    if not ids:
        raise UnknownMarkers(f"the tokenizer has no token for the marker {text!r}")
    return ids


def _pattern(
    text: str, vocabulary: Vocabulary, *, attempt: Callable[[str], int] = len, shared: bool = False
) -> Pattern:
    """The pattern of a text.

    Args:
        attempt: the number of bytes of ordinary text from which on the model is taken to write it.
        shared: the first symbol begins other texts too.
    """
    symbols = vocabulary.symbols(text)
    added = next((size for size, symbol in enumerate(symbols, 1) if is_added(symbol)), None)
    if added is None:
        return Pattern(symbols, attempt(symbols), len(symbols))
    certain = min(added + shared, len(symbols))
    return Pattern(symbols, certain, certain)


def _attempt(symbols: str) -> int:
    """The number of bytes of an end marker in ordinary text by which an attempt to stop is recognized.

    The wait has to replace the marker's first token, or the text would keep a part of it. So a tag is recognized by the
    punctuation that it begins with (`</`), and a sentence, which begins like many others, by all but its last word. A
    marker that neither tells apart from other text is recognized when it is complete.
    """
    punctuation = re.match("[^a-zA-Z0-9 ]*", symbols)
    if punctuation and 1 < len(punctuation[0]) < len(symbols):
        return len(punctuation[0])
    words = symbols.split(" ")
    return len(" ".join(words[:-1])) if len(words) > 2 else len(symbols)


def _without_thinking(
    markers: ThinkingMarkers, prefix: Ids, vocabulary: Vocabulary, *, grammar: bool, force_start: bool
) -> dict[str, Any]:
    """The fields of a plan for a cap of 0. A grammar begins at the end marker, after which no text is forced then."""
    text, end = markers.no_thinking, markers.end
    if grammar:
        text = text[: text.index(end) + len(end)] if end in text else ""
    if not text:
        return {"no_thinking": _encode_marker(end, vocabulary) + prefix} if force_start else {}
    rest = text.partition(markers.start)[2] if markers.start in text else text
    no_text = (vocabulary.encode(rest.removeprefix("\n")), vocabulary.encode(rest)) if end in rest else None
    return {"no_thinking": vocabulary.encode(text), "no_text": no_text}


def _plain(field: str, text: str, counting: ThinkingPlan, vocabulary: Vocabulary) -> Ids:
    """Ids of a text that is forced while thinking; it must be plain text there."""
    ids, table = vocabulary.encode(text), counting.table
    if not vocabulary.control.union(counting.stops).isdisjoint(ids) or _completes(table, table.inside, ids):
        raise InvalidBudget(field, f"{text!r} holds a control token or a marker; only plain text is allowed")
    if any(_completes(table, state, ids) for state in range(table.inside, table.prompt)):
        raise InvalidBudget(field, f"{text!r} begins like the rest of the end marker, so it could complete one")
    return ids


def _completes(table: MarkerTable, state: int, ids: Ids) -> bool:
    """Whether the text, after one that leads to the state inside, completes something that leaves thinking."""
    for token in ids:
        step = table.step(state, token)
        if step.hit:
            return True
        state = step.state
    return False
