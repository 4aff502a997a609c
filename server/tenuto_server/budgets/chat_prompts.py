"""Whether a prompt is a chat, and what its template knows: defaults are for chats, not for texts to be continued."""

import re
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from tenuto_decoding import vllm_compat
from tenuto_decoding.markers import Tokenizer
from tenuto_decoding.vocabulary import Vocabulary


def is_chat(tokenizer: Tokenizer, prompt: Sequence[int]) -> bool:
    """Whether a prompt that a client has written holds a turn of a chat.

    Turns are delimited by the control tokens that the chat template writes. What a tokenizer puts around every text (a
    begin-of-sequence token) is no turn, nor are control tokens that have other uses (fill in the middle, separators).
    """
    known = _delimiters.get(tokenizer)
    if known is None:
        known = _delimiters[tokenizer] = _turn_delimiters(tokenizer)
    return not known.isdisjoint(prompt)


def template_of(tokenizer: Tokenizer) -> str:
    """The chat template's text; empty where the tokenizer has none."""
    return vllm_compat.template_of(tokenizer) or ""


def names_variable(template: str, name: str) -> bool:
    """Whether a chat template names a variable."""
    return re.search(rf"\b{re.escape(name)}\b", template) is not None


def _turn_delimiters(tokenizer: Tokenizer) -> frozenset[int]:
    """Without a template, all control tokens: Mistral's tokenizers write chats in code."""
    template, control = template_of(tokenizer), Vocabulary.of(tokenizer).control
    around_any_text = {getattr(tokenizer, "bos_token_id", None), *tokenizer.encode("")}
    if template:
        by_id = {token_id: text for text, token_id in tokenizer.get_vocab().items() if token_id in control}
        by_variable = {tokenizer.eos_token_id} if "eos_token" in template else set()
        control = frozenset(token for token in control if by_id.get(token, "\0") in template or token in by_variable)
    return control - around_any_text


_delimiters: "WeakKeyDictionary[Tokenizer, frozenset[int]]" = WeakKeyDictionary()
