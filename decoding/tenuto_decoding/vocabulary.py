"""Facts of a tokenizer that plans need, as token ids."""

from collections.abc import Iterable
from functools import cached_property
from itertools import chain, pairwise
from typing import Any
from weakref import WeakKeyDictionary

from .markers import Tokenizer

_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", '."', '!"', '?"', ".”", ".)")


class Vocabulary:
    """What one tokenizer's ids mean. The slow tables are made when first needed.

    Make it with `Vocabulary.of`, which keeps one for each tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: dict[str, int] = tokenizer.get_vocab()
        self._gaps: dict[int, list[range]] = {}

    @staticmethod
    def of(tokenizer: Tokenizer) -> "Vocabulary":
        known = _vocabularies.get(tokenizer)
        if known is None:
            known = _vocabularies[tokenizer] = Vocabulary(tokenizer)
        return known

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of the text alone: no begin-of-sequence token, special tokens recognised."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def single(self, texts: Iterable[str]) -> tuple[int, ...]:
        """Ids of those texts that are one token of the vocabulary, in order; the others are left out."""
        return tuple(self._ids[text] for text in texts if text in self._ids)

    @cached_property
    def stop(self) -> tuple[int, ...]:
        """The tokenizer's own end-of-sequence token, if it has one."""
        return () if self._tokenizer.eos_token_id is None else (self._tokenizer.eos_token_id,)

    @cached_property
    def special(self) -> frozenset[int]:
        """Control tokens: those that ordinary text cannot produce and that delimit turns."""
        added: dict[int, Any] = getattr(self._tokenizer, "added_tokens_decoder", {})
        marked = {token_id for token_id, token in added.items() if getattr(token, "special", False)}
        return frozenset(marked.union(self._tokenizer.all_special_ids))

    @cached_property
    def atomic(self) -> frozenset[int]:
        """Special tokens and every other added token: none of them is a piece of running text."""
        added: dict[int, Any] = getattr(self._tokenizer, "added_tokens_decoder", {})
        return self.special.union(added)

    @property
    def line_ends(self) -> frozenset[int]:
        """Ids of tokens whose text ends in a newline."""
        return self._ends[0]

    @property
    def landings(self) -> frozenset[int]:
        """Ids of tokens after which a sentence or a line is complete."""
        return self._ends[1]

    def undecodable(self, rows: int) -> tuple[int, ...]:
        """Ids below `rows` (the width of the logits) that belong to no token.

        A model's embedding is often padded; sampling such a row gives an id that cannot be decoded or fed back
        (Qwen2.5: 151,665 to 152,063).
        """
        return tuple(chain.from_iterable(self.gaps(rows)))

    def gaps(self, rows: int) -> list[range]:
        """The same as ranges: a few, usually one."""
        if rows not in self._gaps:
            edges = [-1, *sorted(token_id for token_id in self._ids.values() if token_id < rows), rows]
            self._gaps[rows] = [range(low + 1, high) for low, high in pairwise(edges) if high > low + 1]
        return self._gaps[rows]

    def prepare(self, rows: int) -> None:
        """Make the slow tables now: with a large vocabulary that takes a second, for which a whole batch would wait."""
        self.gaps(rows)
        _ = self._ends

    @cached_property
    def _ends(self) -> tuple[frozenset[int], frozenset[int]]:
        """`line_ends` and `landings`, in one pass: the texts take a second to decode, and 20 MB to keep."""
        lines, sentences = set(), set()
        for token_id in self._ids.values():
            if token_id in self.special:
                continue
            text = self._tokenizer.decode([token_id])
            if text.endswith("\n"):
                lines.add(token_id)
            elif text.rstrip(" ").endswith(_SENTENCE_ENDS):
                sentences.add(token_id)
        return frozenset(lines), frozenset(lines | sentences)


_vocabularies: "WeakKeyDictionary[Tokenizer, Vocabulary]" = WeakKeyDictionary()
