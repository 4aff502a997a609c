"""Loss masks: the tokens of a chat that the model is trained to write."""

from collections.abc import Iterator, Sequence

IGNORED = -100
"""The label that PyTorch's cross-entropy ignores."""


def completion_labels(ids: Sequence[int], instruction: Sequence[int], response: Sequence[int]) -> list[int]:
    """Return labels that train only the assistant's turns, as in s1.

    `instruction` and `response` are the token ids that open a user's and an assistant's turn (`<|im_start|>user` and
    `<|im_start|>assistant\\n`). Tokens from a response opener to the next instruction opener, or to the end, are
    trained. A sample without a complete response opener trains nothing.
    """
    labels = [IGNORED] * len(ids)
    openers = list(_occurrences(ids, instruction))
    for opener in _occurrences(ids, response):
        start = opener + len(response)
        stop = next((position for position in openers if position >= start), len(ids))
        labels[start:stop] = ids[start:stop]
    return labels


def _occurrences(ids: Sequence[int], pattern: Sequence[int]) -> Iterator[int]:
    """Yield the positions at which `pattern` begins in `ids`."""
    wanted = list(pattern)
    for position in range(len(ids) - len(wanted) + 1):
        if list(ids[position : position + len(wanted)]) == wanted:
            yield position
