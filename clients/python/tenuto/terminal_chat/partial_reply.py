"""The part of a streamed reply that has arrived, kept even if the stream is stopped or fails."""

from dataclasses import asdict, dataclass, field
from typing import Any

from tenuto.replies import ChoiceFinished, ContentDelta, Event, ReasoningDelta, Started, ThinkingReport


@dataclass
class PartialReply:
    """The first choice of a reply as far as it has arrived. `id` names it in steering requests."""

    id: str | None = None
    reasoning: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    report: ThinkingReport | None = None
    finish_reason: str | None = None

    def take(self, event: Event) -> None:
        """Add one event of the stream."""
        match event:
            case Started(id=reply_id):
                self.id = reply_id
            case ReasoningDelta(index=0, text=text):
                self.reasoning.append(text)
            case ContentDelta(index=0, text=text):
                self.answer.append(text)
            case ChoiceFinished(index=0):
                self.report, self.finish_reason = event.thinking, event.finish_reason

    @property
    def report_fields(self) -> dict[str, Any] | None:
        """The report as JSON has it."""
        return None if self.report is None else asdict(self.report)
