"""The tokens of the answer, found by their ids."""

from typing import Any

import pytest

from tenuto_decoding.families import FAMILIES
from tenuto_decoding.plan import compile_plan
from tenuto_decoding.prompt import Phase
from tenuto_server.reasoning.content_tokens import ContentTokens

TEXTS = {
    "s1": [
        ("<|im_start|>think\nab<|im_start|>answer\ncd", Phase.BEFORE, "\ncd"),
        ("ab<|im_start|>answer\ncd", Phase.THINKING, "\ncd"),
        ("ab", Phase.THINKING, ""),
        ("ab<|im_start|>", Phase.THINKING, ""),
        ("ab", Phase.ANSWER, "ab"),
        ("ab<|im_start|>an", Phase.ANSWER, "ab<|im_start|>an"),
    ],
    "think": [
        ("<think>ab</think>cd<think>e</think>f", Phase.BEFORE, "cdf"),
        ("ab</think>", Phase.THINKING, ""),
        ("ab<tool_call>cd", Phase.THINKING, "<tool_call>cd"),
        ("cd</think>ef", Phase.ANSWER, "cdef"),
    ],
    "granite": [
        ("Here is my thought process:abHere is my response:cd", Phase.BEFORE, "cd"),
        ("Here is my resHere is my response:", Phase.ANSWER, "Here is my resHere is my response:"),
        ("Here is my resHere is my response:x", Phase.THINKING, "x"),
        ("Here is my th", Phase.BEFORE, "Here is my th"),
        ("Here is my response:x", Phase.BEFORE, "x"),
        ("aHere is my response:x", Phase.BEFORE, "aHere is my response:x"),
        ("Here is my response:xHere is my response:", Phase.BEFORE, "xHere is my response:"),
    ],
}


@pytest.mark.parametrize("size", [1, 2, 100], ids="{} in a piece".format)
@pytest.mark.parametrize(
    ("family", "text", "phase", "content"), [(family, *case) for family, cases in TEXTS.items() for case in cases]
)
def test_the_content_is_found_in_pieces_of_any_size(
    chatml: Any, thinker: Any, family: str, text: str, phase: Phase, content: str, size: int
) -> None:
    tokenizer = thinker if family == "think" else chatml
    ids = tokenizer.encode(text, add_special_tokens=False)
    tokens = ContentTokens(compile_plan(None, FAMILIES[family], tokenizer), phase)
    found = []
    for start in range(0, len(ids), size):
        found += tokens.take(ids[start : start + size], last=start + size >= len(ids))
    assert tokenizer.decode([token for _, token in found]) == content
    assert all(ids[position] == token for position, token in found)
