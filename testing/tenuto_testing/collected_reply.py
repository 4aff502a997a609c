"""A reply as its client has it, whole or from a stream, and whether its reports are what a count of its ids gives."""

from dataclasses import dataclass, field
from typing import Any

from .reply_counter import ReplyCounter


@dataclass
class CollectedReply:
    """A reply that has been read to its end, and what steering it came to.

    Attributes:
        ids, texts, thinking: of every choice: its ids, its answer, its report.
        steered: what the orders came to, in their order.
    """

    id: str = ""
    ids: dict[int, list[int]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    thinking: dict[int, dict[str, Any]] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    steered: list[dict[str, Any]] = field(default_factory=list)

    def take(self, chunk: dict[str, Any]) -> None:
        """A piece of a stream, or a whole reply."""
        self.id = chunk["id"]
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            index = choice["index"]
            self.ids.setdefault(index, []).extend(choice.get("token_ids") or [])
            said = choice.get("delta") or choice.get("message") or {}
            text = choice["text"] if "text" in choice else said.get("content") or ""
            self.texts[index] = self.texts.get(index, "") + text
            if choice["finish_reason"]:
                assert index not in self.thinking, f"choice {index} of {self.id} ends twice"
                self.thinking[index] = choice["thinking"]


def check_reports(counter: ReplyCounter, talk: CollectedReply) -> None:
    """The reports of all choices are what a recount gives, and within their bounds; the usage is their sum.

    Raises:
        AssertionError: naming the report and the ids.
    """
    for index, thinking in talk.thinking.items():
        ids, cap = talk.ids[index], thinking["max_thinking_tokens"]
        counted = counter.count_all(ids, thinking["tokens"] if thinking["ended_by"] == "loop" else cap)
        assert thinking["tokens"] == counted, f"{counted} counted by hand: {thinking} {ids}"
        assert cap is None or counted <= cap, f"above the cap: {thinking} {ids}"
        if thinking["ended_by"] == "model":
            assert counted >= thinking["min_thinking_tokens"], f"below the floor: {thinking} {ids}"
    tokens = sum(thinking["tokens"] for thinking in talk.thinking.values())
    assert talk.usage["completion_tokens_details"]["reasoning_tokens"] == tokens, f"{talk.usage} {talk.thinking}"
