"""Other ways in which a byte-level tokenizer's tokens spell a text than the one that its merges choose."""

import random
from functools import cache
from typing import Any

from transformers.convert_slow_tokenizer import bytes_to_unicode

from .random_model import Ids


@cache
def bytes_of_tokens(tokenizer: Any) -> dict[int, bytes]:
    """The bytes of each ordinary token. Added tokens are left out: no text spells them in part."""
    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
    added = tokenizer.added_tokens_decoder
    return {
        token: bytes(byte_of[letter] for letter in text)
        for text, token in tokenizer.get_vocab().items()
        if token not in added
    }


@cache
def _tokens_by_bytes(tokenizer: Any) -> tuple[dict[bytes, int], int]:
    """The ordinary tokens by their bytes, and the longest one's length."""
    found = {data: token for token, data in bytes_of_tokens(tokenizer).items()}
    return found, max(map(len, found))


def random_tokenization(tokenizer: Any, text: str, chance: random.Random) -> Ids:
    """A random sequence of ordinary tokens whose bytes are the text's; short and long tokens are equally likely."""
    tokens, longest = _tokens_by_bytes(tokenizer)
    data, ids = text.encode(), []
    while data:
        sizes = [size for size in range(1, min(longest, len(data)) + 1) if data[:size] in tokens]
        size = chance.choice(sizes)
        ids.append(tokens[data[:size]])
        data = data[size:]
    return tuple(ids)
