"""A count of thinking tokens that shares no code with the server's."""

from collections.abc import Sequence

from transformers import AutoTokenizer

from .servers import MODEL_FOLDER


class ReplyCounter:
    """Counts the tokens between the two markers of the built-in model's replies."""

    def __init__(self) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(MODEL_FOLDER)
        self.start = self.encode("<|im_start|>think")
        self.end = self.encode("<|im_start|>answer")
        self.newline = self.encode("\n")
        self.stops = self.encode("<|im_end|><|endoftext|>")

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def find(self, ids: Sequence[int], marker: Sequence[int]) -> int:
        """Index of the marker, or -1."""
        places = range(len(ids) - len(marker) + 1)
        return next((place for place in places if list(ids[place : place + len(marker)]) == list(marker)), -1)

    def thinking(self, ids: Sequence[int], *, opened: bool = False) -> list[int]:
        """The ids of the first block of thinking; `opened` if the prompt ends within it."""
        begin = 0 if opened else self.find(ids, self.start) + len(self.start)
        if not opened and self.find(ids, self.start) < 0:
            return []
        end = self.find(ids[begin:], self.end)
        return list(ids[begin : begin + end] if end >= 0 else ids[begin:])

    def count(self, ids: Sequence[int], cap: int | None, *, opened: bool = False) -> int:
        """Thinking tokens; at the cap, the newline that the server puts before the end marker is not one."""
        thinking = self.thinking(ids, opened=opened)
        forced = cap is not None and len(thinking) == cap + 1 and thinking[-1:] == self.newline
        return len(thinking) - forced

    def count_all(self, ids: Sequence[int], cap: int | None) -> int:
        """Thinking tokens of all blocks of a reply. It may end within a marker or, without a budget, by a stop token.

        At the cap, the newline that the server puts before the end marker is not one.
        """
        blocks, rest = [], list(ids)
        while (begin := self.find(rest, self.start)) >= 0:
            rest = rest[begin + len(self.start) :]
            end = self.find(rest, self.end)
            blocks.append(rest[:end] if end >= 0 else self._without_its_end(rest))
            rest = rest[end + len(self.end) :] if end >= 0 else []
        tokens = sum(map(len, blocks))
        return tokens - (cap is not None and tokens == cap + 1 and blocks[-1][-1:] == self.newline)

    def _without_its_end(self, ids: list[int]) -> list[int]:
        """Thinking in which the reply ended, without its stop token or the part of an end marker at its end."""
        if ids[-1:] and ids[-1] in self.stops:
            return ids[:-1]
        sizes = range(len(self.end) - 1, 0, -1)
        part = next((size for size in sizes if ids[-size:] == self.end[:size]), 0)
        return ids[: len(ids) - part]
