"""Qwen2.5's tokenizer, built from the vocabulary in the package `dashscope`: 151,643 entries and 22 special ones.

The ids are those of the published tokenizer.
"""

import base64
from functools import cache
from importlib.resources import files
from itertools import pairwise

from transformers import AddedToken, Qwen2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

#: Control tokens, in the order of their ids from 151,643 on.
CONTROL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
#: The tokens after these, which the tokenizer does not treat as special.
ADDED = (
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
#: ChatML as Qwen2.5 writes it, for conversations without tools.
TEMPLATE = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\n" + SYSTEM + "<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@cache
def entries() -> dict[bytes, int]:
    """The ordinary tokens, by their bytes; a token's id is also its rank among the merges."""
    lines = files("dashscope").joinpath("resources/qwen.tiktoken").read_bytes().splitlines()
    return {base64.b64decode(text): int(rank) for text, rank in (line.split() for line in lines if line)}


@cache
def tokenizer() -> Qwen2Tokenizer:
    ranks = entries()
    alphabet = bytes_to_unicode()

    def spelt(token: bytes) -> str:
        return "".join(alphabet[byte] for byte in token)

    merges = [tuple(map(spelt, _parts(token, rank))) for token, rank in ranks.items() if len(token) > 1]
    added = {text: number for number, text in enumerate(CONTROL + ADDED, len(ranks))}
    made = Qwen2Tokenizer(
        vocab={spelt(token): rank for token, rank in ranks.items()} | added,
        merges=merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
    )
    made.add_tokens([AddedToken(text, normalized=False, special=True) for text in CONTROL])
    made.add_tokens([AddedToken(text, normalized=False, special=False) for text in ADDED])
    made.chat_template = TEMPLATE
    return made


def _parts(token: bytes, rank: int) -> tuple[bytes, bytes]:
    """The two tokens that the last merge of this one joins: merge by rank until two parts are left."""
    ranks = entries()
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        joined = [ranks.get(left + right, rank) for left, right in pairwise(parts)]
        place = min(range(len(joined)), key=joined.__getitem__)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts[0], parts[1]
