"""What a server answers, as immutable values. Fields that have no name here are kept in `Reply.raw`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ThinkingReport:
    """What the server enforced on one choice, and how its thinking went.

    `ended_by` says what closed the thinking: "model", "cap", "stop_token" (an end of reply that was turned into an end
    of thinking), "loop" (it went in circles), "length" (the token limit came first) or "none" (there was no thinking).
    A bound that was not asked for is None. `set_by` says for each field of the budget what set it: "request", another
    server's name for the cap, "reasoning_effort", "default" or "steering", which happened `steered` times.
    """

    tokens: int
    waits: int
    ended_by: str
    max_thinking_tokens: int | None
    min_thinking_tokens: int | None
    set_by: Mapping[str, str] = field(default_factory=dict)
    steered: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts over all choices. `reasoning_tokens` is None where the server does not count them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    reasoning_tokens: int | None


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. Texts that are absent are empty; `thinking` is None from a server that knows no budgets."""

    index: int
    reasoning: str
    content: str
    finish_reason: str | None
    thinking: ThinkingReport | None
    tool_calls: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; `raw` is the JSON object as the server sent it."""

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    raw: Json

    @property
    def content(self) -> str:
        """The first choice's answer."""
        return self.choices[0].content

    @property
    def reasoning(self) -> str:
        """The first choice's thinking."""
        return self.choices[0].reasoning

    @property
    def thinking(self) -> ThinkingReport | None:
        """The first choice's report."""
        return self.choices[0].thinking


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the server offers; `max_model_len` is prompt and reply together, None where the server is silent."""

    id: str
    max_model_len: int | None


@dataclass(frozen=True, slots=True)
class SteeredChoice:
    """What steering came to for choice `index`.

    `applied` is None while the choice waits for its turn. `phase` is where it stood: "waiting", "before" (it has not
    begun to think), "thinking", "closing" (the end of its thinking is being written), "answer" or "finished"; `tokens`
    are its thinking tokens by then.
    """

    index: int
    applied: bool | None
    phase: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Steering:
    """What steering a running reply came to."""

    id: str
    choices: tuple[SteeredChoice, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """The first event of a stream: by this `id` the reply can be steered while it runs."""

    id: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the thinking of choice `index`."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ContentDelta:
    """A piece of the answer of choice `index`."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallsDelta:
    """Pieces of tool calls of choice `index`, as the server sent them."""

    index: int
    tool_calls: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class ChoiceFinished:
    """The last event of choice `index`."""

    index: int
    finish_reason: str
    thinking: ThinkingReport | None


@dataclass(frozen=True, slots=True)
class UsageReported:
    """Token counts over all choices, once, after the last choice has finished."""

    usage: Usage


Event = Started | ReasoningDelta | ContentDelta | ToolCallsDelta | ChoiceFinished | UsageReported
