"""Which prompts are chats: those that hold what the chat template delimits its turns with."""

from typing import Any

import pytest

from tenuto_server.budgets.chat_prompts import is_chat
from tenuto_testing.byte_tokenizer import make_tokenizer

TEMPLATE = "<|im_start|>user\n{{ messages }}<|im_end|>"


class WithBeginning:
    """A tokenizer that puts tokens before every text, as Llama's and GLM's do."""

    def __init__(self, tokenizer: Any, *texts: str) -> None:
        self._tokenizer = tokenizer
        self._first = [tokenizer.encode(text)[0] for text in texts]
        self.bos_token_id = self._first[0]

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text)
        return [*self._first, *ids] if add_special_tokens else ids

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n", True),
        ("<|im_start|>", True),
        ("Once upon a time", False),
        ("", False),
        ("one text<|endoftext|>another text", False),  # a separator that the template does not write
    ],
)
def test_a_chat_holds_a_delimiter_of_turns(prompt: str, expected: bool) -> None:
    tokenizer = make_tokenizer(TEMPLATE)
    assert is_chat(tokenizer, tokenizer.encode(prompt)) is expected


def test_what_begins_every_text_is_no_turn() -> None:
    inner = make_tokenizer(TEMPLATE, ("[gMASK]", "<sop>"))
    inner.chat_template = f"[gMASK]<sop><|endoftext|>{TEMPLATE}"
    for beginning in (("<|endoftext|>",), ("<|endoftext|>", "[gMASK]", "<sop>")):
        tokenizer: Any = WithBeginning(inner, *beginning)
        assert not is_chat(tokenizer, tokenizer.encode("Once upon a time"))
        assert not is_chat(tokenizer, tokenizer.encode(""))
        assert is_chat(tokenizer, tokenizer.encode("<|im_start|>user\nx<|im_end|>"))


def test_a_template_may_name_the_end_of_a_turn_by_its_variable() -> None:
    tokenizer = make_tokenizer("[INST] {{ messages }} [/INST]{{ eos_token }}")
    assert is_chat(tokenizer, tokenizer.encode("[INST] x [/INST] y<|im_end|>[INST] z [/INST]"))
    assert not is_chat(tokenizer, tokenizer.encode("[INST] x [/INST]"))


def test_without_a_template_any_control_token_delimits_turns() -> None:
    tokenizer = make_tokenizer("")
    assert is_chat(tokenizer, tokenizer.encode("<|im_start|>user\nx"))
    assert not is_chat(tokenizer, tokenizer.encode("Once upon a time"))
