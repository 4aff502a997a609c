"""Writes each reply as one line of JSON."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

from tenuto.replies import Event
from tenuto.terminal_chat.partial_reply import PartialReply


@dataclass
class JSONView:
    """Writes replies to `stream`, and notes to `errors`: the output holds nothing but JSON."""

    stream: TextIO
    errors: TextIO

    def note(self, text: str) -> None:
        self.errors.write(f"{text}\n")

    def show(self, events: Iterable[Event], reply: PartialReply) -> None:
        """Write the first choice once its stream has ended. Nothing is written of a stream that fails."""
        for event in events:
            reply.take(event)
        value = {
            "id": reply.id,
            "reasoning": "".join(reply.reasoning),
            "content": "".join(reply.answer),
            "finish_reason": reply.finish_reason,
            "thinking": reply.report_fields,
        }
        self.stream.write(json.dumps(value, ensure_ascii=False) + "\n")
        self.stream.flush()
