"""Pairs of tags that speak of thinking, of models that no family describes."""

import re
from collections.abc import Collection, Container, Iterable, Iterator

from .families import FAMILIES
from .markers import ThinkingMarkers

# Such as `<thinking>`, `<think:6124c78e>`, `<ifm|think_more>`, `<|think_start|>`, `[THINKING]`.
_OPENER = re.compile(
    r"(?:<\|?|\[|◁)(?:[\w.]+[:|])?\w*(?:think|thought|reason)\w*(?:[:|]\w+)?(?:\|?>|\]|▷)", re.IGNORECASE
)
_OPPOSITES = (("start", "end"), ("begin", "end"), ("prefix", "suffix"), ("open", "close"))


def opened_by(tail: str, *known: Container[str]) -> ThinkingMarkers | None:
    """The pair whose opener is the last text of the tail, if its closer is among what is known."""
    openers = [found for found in _OPENER.findall(tail) if tail.rstrip().endswith(found)]
    return _first(
        (opener, closer) for opener in openers for closer in _closers(opener) if any(closer in each for each in known)
    )


def closed_by(tail: str) -> ThinkingMarkers | None:
    """The pair whose opener and closer the tail has."""
    return _first(
        (found[0], closer)
        for found in _OPENER.finditer(tail)
        for closer in _closers(found[0])
        if closer in tail[found.end() :]
    )


def named_by(text: str) -> ThinkingMarkers | None:
    """The first pair that a text names."""
    return _first((opener, closer) for opener in _OPENER.findall(text) for closer in _closers(opener) if closer in text)


def among(vocabulary: Collection[str]) -> ThinkingMarkers | None:
    """The first pair that a vocabulary has."""
    openers = [token for token in vocabulary if _OPENER.fullmatch(token)]
    return _first((opener, closer) for opener in openers for closer in _closers(opener) if closer in vocabulary)


def _closers(opener: str) -> Iterator[str]:
    """The texts that would close it."""
    yield f"{opener[0]}/{opener[1:]}"
    if opener.startswith("<|"):
        yield f"<|/{opener[2:]}"
    yield from (opener.replace(begin, end) for begin, end in _OPPOSITES if begin in opener)


def _first(pairs: Iterable[tuple[str, str]]) -> ThinkingMarkers | None:
    for start, end in pairs:
        # What follows a colon is part of the model's other tags too.
        suffix = re.fullmatch(r"<think(:\w+)>", start)
        openers = tuple(f"<{name}{suffix[1]}>" for name in ("tool_calls", "tool_call")) if suffix else ()
        return ThinkingMarkers(family="custom", start=start, end=end, also_ends=openers, stops=FAMILIES["think"].stops)
    return None
