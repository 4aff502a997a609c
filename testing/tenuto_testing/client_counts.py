"""What a client counts of its requests, to compare with what the server exports."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .collected_reply import CollectedReply

#: Endings at which the server closed the thinking.
FORCED = ("cap", "loop", "stop_token")


@dataclass(frozen=True, slots=True)
class ChoiceCount:
    """One finished choice.

    Attributes:
        thinking, answer: tokens.
        cap: in force, None if there was none.
        steered_by: action of the steering request that took effect, if any.
        effort: `reasoning_effort` of the request, else `unset`.
        has_cap, has_floor: whether the request has set one itself.
    """

    thinking: int
    answer: int
    waits: int
    ended_by: str
    cap: int | None
    steered_by: str
    effort: str
    has_cap: bool
    has_floor: bool

    @property
    def forced_by(self) -> str | None:
        """What the server closed the thinking for; None if it did not."""
        if self.ended_by != "cap":
            return self.ended_by if self.ended_by in FORCED else None
        if self.steered_by == "answer_now":
            return "answer_now"
        return "landing" if self.thinking < (self.cap or 0) else "cap"


@dataclass(slots=True)
class ClientCounts:
    """Of one model.

    Attributes:
        requests: by (endpoint, outcome).
        rejections: by reason, each also among `requests`.
        cancellations: by phase, each also among `requests`.
        choices: those that finished.
        first_answers: choices in which a token came after thinking.
        empty: choices without an answer, by reason.
        steered: by (action, outcome).
    """

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)
    cancellations: Counter[str] = field(default_factory=Counter)
    choices: list[ChoiceCount] = field(default_factory=list)
    empty: Counter[str] = field(default_factory=Counter)
    steered: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def endings(self) -> Counter[str]:
        return Counter(choice.ended_by for choice in self.choices)

    @property
    def forced(self) -> Counter[str]:
        """Choices whose thinking the server closed, by why."""
        return Counter(choice.forced_by for choice in self.choices if choice.forced_by)

    @property
    def thinking_tokens(self) -> int:
        return sum(choice.thinking for choice in self.choices)

    @property
    def answer_tokens(self) -> int:
        return sum(choice.answer for choice in self.choices)

    @property
    def waits(self) -> int:
        return sum(choice.waits for choice in self.choices)

    @property
    def first_answers(self) -> int:
        """Choices that began an answer: all except those that reached their token limit while thinking."""
        return sum(choice.ended_by != "length" for choice in self.choices)

    def cut_by(self, cap: int) -> int:
        """Choices whose thinking is longer than a cap."""
        return sum(choice.thinking > cap for choice in self.choices)

    def beyond(self, cap: int) -> int:
        """Thinking tokens that a cap would have saved."""
        return sum(max(0, choice.thinking - cap) for choice in self.choices)

    def outcome(self, name: str) -> int:
        return sum(count for (_, outcome), count in self.requests.items() if outcome == name)

    def take(self, endpoint: str, body: Mapping[str, Any], choices: Iterator[ChoiceCount]) -> None:
        """Count a request that was answered with these choices."""
        self.requests[endpoint, "ok"] += 1
        for choice in choices:
            self.choices.append(choice)
            if choice.ended_by == "length":
                self.empty["length"] += 1
            elif body.get("stop"):  # the load only uses one that every answer begins with
                self.empty["stopped"] += 1


def of_choices(reply: CollectedReply, body: Mapping[str, Any], steered_by: str = "") -> Iterator[ChoiceCount]:
    """The choices of a chat or text completion."""
    for index, report in reply.thinking.items():
        yield _choice(report, len(reply.ids[index]), body, steered_by)


def of_response(reply: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[ChoiceCount]:
    """The one choice of a response or a message."""
    report = reply["thinking_report"] if "thinking_report" in reply else reply["thinking"][0]
    yield _choice(report, reply["usage"]["output_tokens"], body, "")


def _choice(report: Mapping[str, Any], tokens: int, body: Mapping[str, Any], steered_by: str) -> ChoiceCount:
    effort = body.get("reasoning_effort") or body.get("reasoning", {}).get("effort")
    cap = body.get("max_thinking_tokens", body.get("thinking", {}).get("budget_tokens"))
    return ChoiceCount(
        thinking=report["tokens"],
        answer=tokens - report["tokens"],
        waits=report["waits"],
        ended_by=report["ended_by"],
        cap=report["max_thinking_tokens"],
        steered_by=steered_by,
        effort=effort or "unset",
        has_cap=isinstance(cap, int) or effort is not None,
        has_floor=bool(body.get("min_thinking_tokens")),
    )
