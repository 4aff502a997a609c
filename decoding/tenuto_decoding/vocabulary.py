"""Facts of a tokenizer that plans need, as token ids."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import chain, groupby, pairwise
from typing import Any
from weakref import WeakKeyDictionary

from .markers import Tokenizer
from .matching import ids_of, is_added, symbol_of

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
        """Ids of the text alone: no begin-of-sequence token, added tokens recognised.

        That is so whatever the tokenizer makes of added tokens: Mistral's encodes control tokens as ordinary text.
        """
        return tuple(chain.from_iterable(self._encode_part(part) for part in self._parts(text)))

    def encode_marker(self, text: str) -> tuple[int, ...]:
        """Ids of a marker: one where the vocabulary has an entry for it, whatever `encode` makes of the text."""
        return (self._ids[text],) if text.isascii() and text in self._ids else self.encode(text)

    def single(self, texts: Iterable[str]) -> tuple[int, ...]:
        """Ids of those texts that are one token of the vocabulary, in order; the others are left out."""
        return tuple(self._ids[text] for text in texts if text in self._ids)

    def symbols(self, text: str) -> str:
        """The symbols of a text, as in `matching`: of its added tokens and of the bytes between them."""
        added = self._added_texts
        return "".join(symbol_of(added[part]) if part in added else _bytes(part) for part in self._parts(text))

    def spell(self, symbols: str) -> tuple[int, ...]:
        """Ids of these symbols.

        Raises:
            UnicodeDecodeError: for a part of a character.
        """
        ids: list[int] = []
        for are_added, group in groupby(symbols, is_added):
            part = "".join(group)
            ids += ids_of(part) if are_added else self.encode(part.encode("latin-1").decode())
        return tuple(ids)

    def may_write(self, text: str) -> bool:
        """Whether the text can occur: a part of it that looks like a control token has to be one."""
        ordinary = "".join(part for part in self._parts(text) if part not in self._added_texts)
        return not re.search("[|｜]", ordinary)

    def tokens(self) -> Iterator[tuple[int, str]]:
        """Every id and its symbols."""
        read = self._reading
        for text, token in self._ids.items():
            yield token, symbol_of(token) if token in self.atomic else read(text, token)

    def _parts(self, text: str) -> list[str]:
        """The text, cut before and after each added token."""
        found = sorted((each for each in self._added_texts if each in text), key=len, reverse=True)
        return [part for part in re.split(f"({'|'.join(map(re.escape, found))})", text) if part] if found else [text]

    def _encode_part(self, part: str) -> Iterable[int]:
        return (
            (self._ids[part],) if part in self._added_texts else self._tokenizer.encode(part, add_special_tokens=False)
        )

    @cached_property
    def _added_texts(self) -> dict[str, int]:
        return {text: token for text, token in self._ids.items() if token in self.atomic}

    @cached_property
    def _reading(self) -> Callable[[str, int], str]:
        """How to read the bytes of an ordinary token from its entry in the vocabulary.

        There are three ways to write them, of which the one counts that gives a sample's text back.
        """
        ids = self._tokenizer.encode(_SAMPLE, add_special_tokens=False)
        entries = {token: text for text, token in self._ids.items() if token in set(ids)}
        for read in (_byte_level, _sentence_piece):
            if "".join(read(entries.get(token, ""), token) for token in ids).strip(" ") == _bytes(_SAMPLE):
                return read
        return self._decoded

    def _decoded(self, _: str, token: int) -> str:
        """A token's bytes, as far as they are whole characters: decoding a token alone may leave a space out."""
        before = self._tokenizer.encode("a", add_special_tokens=False)[-1]
        return _bytes(self._tokenizer.decode([before, token]).removeprefix(self._tokenizer.decode([before])))

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
    def control(self) -> frozenset[int]:
        """Special tokens, and added ones that look like control tokens: DeepSeek's tokenizers do not flag theirs."""
        return self.special.union(token for text, token in self._added_texts.items() if re.search("[|｜]", text))

    @cached_property
    def atomic(self) -> frozenset[int]:
        """Special tokens and other added tokens that are no piece of running text, as runs of spaces are."""
        added: dict[int, Any] = getattr(self._tokenizer, "added_tokens_decoder", {})
        return self.special.union(token_id for token_id, token in added.items() if str(token).strip())

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


#: What a tokenizer divides into tokens of every kind.
_SAMPLE = "A <b>, two  spaces é ◁\n\tx"


def _bytes(text: str) -> str:
    """The bytes of a text, as symbols."""
    return text.encode(errors="surrogatepass").decode("latin-1")


def _byte_level(entry: str, _: int) -> str:
    """Of a byte-level BPE, in which every byte is a printable character (GPT-2's alphabet)."""
    return entry.translate(_ALPHABET) if all(ord(character) in _ALPHABET for character in entry) else ""


def _sentence_piece(entry: str, _: int) -> str:
    """Of a vocabulary that writes a space as U+2581 and single bytes as `<0x0A>`."""
    single = re.fullmatch("<0x([0-9A-F]{2})>", entry)
    return chr(int(single[1], 16)) if single else _bytes(entry.replace("\u2581", " "))


def _alphabet() -> dict[int, str]:
    """Printable Latin-1 characters stand for themselves; the other bytes have the code points from 256 on, in turn."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {256 + at: chr(byte) for at, byte in enumerate(others)}


_ALPHABET = _alphabet()


_vocabularies: "WeakKeyDictionary[Tokenizer, Vocabulary]" = WeakKeyDictionary()
