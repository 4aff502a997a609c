"""The tokenizer of `s1-tiny`: byte-level BPE with Qwen2.5's splitting rules and a few hundred merges.

It can encode any text (all 256 bytes are in the vocabulary). Every digit is one token, and so is each word of the task
and of the s1 format, so the markers have as many tokens as in Qwen2.5: `<|im_start|>answer` has two and `Wait` has one.
"""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tenuto_training.formats import END_OF_TEXT, IM_END, IM_START
from tenuto_training.tiny.task import GOODS

SPECIAL_TOKENS = (END_OF_TEXT, IM_START, IM_END)

# Qwen2.5's splitting rule: a word includes one space before it, a digit none, and punctuation the newlines after it.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# A leading space is part of the word, as in Qwen2.5.
WORDS = (
    *("think", "answer", "Wait", "Final", " Answer", "Answer", "system", "user", "assistant", "Hmm", "Alternatively"),
    *("Add", " up", " this", " bill", "How", " much", " is", "What", " the", " total", " of", " and", " +", " ="),
    *(" there", " more", " on", " that", " was", " last", " item", " The", "The"),
    *("You", " are", " a", " helpful", " assistant", " to", " in", " it", " you", " me", " for", " I", " we", " not"),
    *(
        " what",
        " how",
        " many",
        " think",
        " answer",
        " wait",
        "wait",
        " Wait",
        " add",
        " so",
        " far",
        " all",
        "Hello",
        "First",
        "After",
        " comes",
    ),
    *(f" {name}" for name in GOODS),
)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + (message['content'] or '') + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def build_tokenizer(max_length: int) -> PreTrainedTokenizerFast:
    """Build the tokenizer; `max_length` is the model's context in tokens."""
    vocabulary, merges = _vocabulary()
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=IM_END,
        pad_token=END_OF_TEXT,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return the ids of all pieces, and the merges that make every word of `WORDS` one token.

    The merges so far are applied to a word first; the remaining pieces are merged from the left. Merges of later words
    have a lower priority, so they cannot split an earlier word.
    """
    vocabulary = {piece: number for number, piece in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        pieces = list(word.replace(" ", "Ġ"))
        for left, right in merges:
            pieces = _merge(pieces, left, right)
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = _merge(pieces, pieces[0], pieces[1])
            vocabulary.setdefault(pieces[0], len(vocabulary))
    return vocabulary, merges


def _merge(pieces: list[str], left: str, right: str) -> list[str]:
    """Return `pieces` with every adjacent pair of `left` and `right` joined."""
    merged: list[str] = []
    for piece in pieces:
        if piece == right and merged and merged[-1] == left:
            merged[-1] = left + right
        else:
            merged.append(piece)
    return merged
