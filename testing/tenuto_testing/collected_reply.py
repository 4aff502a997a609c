"""A reply as its client receives it, whole or as a stream, and a check of its reports against a count of its ids."""

from dataclasses import dataclass, field
from typing import Any

from .reply_counter import ReplyCounter


@dataclass
class CollectedReply:
    """A reply, and the results of the steering requests for it.

    Attributes:
        ids, texts, thinking: ids, answer and report of each choice.
        steered: responses to the steering requests, in order.
    """

    id: str = ""
    ids: dict[int, list[int]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    thinking: dict[int, dict[str, Any]] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    steered: list[dict[str, Any]] = field(default_factory=list)

    def take(self, chunk: dict[str, Any]) -> None:
        """Add a chunk of a stream, or a whole reply."""
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


def check_reports(counter: ReplyCounter, reply: CollectedReply) -> None:
    """Check that the reports of all choices equal a recount and are within their bounds, and the usage is their sum.

    Raises:
        AssertionError: naming the report and the ids.
    """
    for index, thinking in reply.thinking.items():
        ids, cap = reply.ids[index], thinking["max_thinking_tokens"]
        counted = counter.count_all(ids, thinking["tokens"] if thinking["ended_by"] == "loop" else cap)
        assert thinking["tokens"] == counted, f"{counted} counted: {thinking} {ids}"
        assert cap is None or counted <= cap, f"above the cap: {thinking} {ids}"
        if thinking["ended_by"] == "model":
            assert counted >= thinking["min_thinking_tokens"], f"below the floor: {thinking} {ids}"
    tokens = sum(thinking["tokens"] for thinking in reply.thinking.values())
    assert reply.usage["completion_tokens_details"]["reasoning_tokens"] == tokens, f"{reply.usage} {reply.thinking}"
