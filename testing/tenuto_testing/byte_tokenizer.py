"""A small real tokenizer: each byte is a token, and so are the few words and markers that the tests use."""

from typing import Any

from transformers import Qwen2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

WORDS = ("think", "answer", "Wait", "Hmm", "Final")
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")


def make_tokenizer(chat_template: str, added: tuple[str, ...] = ()) -> Any:
    """A byte-level BPE tokenizer whose merges spell WORDS; `added` become tokens of their own."""
    pieces = list(bytes_to_unicode().values())
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for size in range(1, len(word)):
            pair = (word[:size], word[size])
            if pair not in merges:
                merges.append(pair)
                pieces.append(word[: size + 1])
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        extra_special_tokens=[SPECIAL[0]],
        eos_token=SPECIAL[1],
        pad_token=SPECIAL[2],
        unk_token=None,
    )
    if added:
        tokenizer.add_tokens(list(added))
    tokenizer.chat_template = chat_template
    return tokenizer
