"""Loss masks: which tokens of a chat the model is trained to write."""

from collections.abc import Iterator, Sequence

IGNORED = -100
"""The label that PyTorch's cross-entropy leaves out."""


def completion_labels(ids: Sequence[int], instruction: Sequence[int], response: Sequence[int]) -> list[int]:
    """Labels that train the assistant's turns only, as s1 does.

    `instruction` and `response` are the token ids that open a user's and an assistant's turn (`<|im_start|>user` and
    `<|im_start|>assistant\\n`). Trained is what stands between the end of a response opener and the next instruction
    opener (or the end). A sample whose response opener was cut off trains nothing.
    """
    labels = [IGNORED] * len(ids)
    openers = list(_occurrences(ids, instruction))
    for opener in _occurrences(ids, response):
        start = opener + len(response)
        stop = next((position for position in openers if position >= start), len(ids))
        labels[start:stop] = ids[start:stop]
    return labels


def _occurrences(ids: Sequence[int], pattern: Sequence[int]) -> Iterator[int]:
    """Positions at which `pattern` begins in `ids`."""
    wanted = list(pattern)
    for position in range(len(ids) - len(wanted) + 1):
        if list(ids[position : position + len(wanted)]) == wanted:
            yield position
