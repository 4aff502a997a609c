"""The server's responses as immutable values. `Reply.raw` keeps the fields that have no attribute here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ThinkingReport:
    """What the server enforced on one choice.

    `ended_by` is what ended the thinking: "model", "cap", "stop_token" (the model tried to end the reply, which ended
    the thinking instead), "loop" (the thinking repeated itself), "length" (the token limit was reached first) or "none"
    (the model did not think). `max_thinking_tokens` and `min_thinking_tokens` are the cap and floor in force, None if
    not set. `set_by` says where each field of the budget came from: "request", another name for the cap,
    "reasoning_effort", "default" or "steering". `steered` counts the steering requests that changed the budget.
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
    """Token counts over all choices. `reasoning_tokens` is None if the server does not count them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    reasoning_tokens: int | None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of one of the request's tools. `arguments` is JSON text, which a token limit may have cut."""

    id: str
    name: str
    arguments: str

    @property
    def parsed(self) -> Any:
        """The arguments as Python values. Raises ValueError if they are not JSON."""
        return json.loads(self.arguments)

    def result(self, content: str) -> Json:
        """The message that gives the model the result of this call. It follows `Choice.message` in the conversation."""
        return {"role": "tool", "tool_call_id": self.id, "content": content}


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of a reply. Absent texts are empty; `thinking` is None if the server sent no report."""

    index: int
    reasoning: str
    content: str
    finish_reason: str | None
    thinking: ThinkingReport | None
    tool_calls: tuple[ToolCall, ...]

    @property
    def message(self) -> Json:
        """The message of the assistant that continues the conversation: answer, thinking and tool calls."""
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self.tool_calls
        ]
        parts = {"content": self.content or None, "reasoning": self.reasoning, "tool_calls": calls}
        return {"role": "assistant", **{name: part for name, part in parts.items() if part or name == "content"}}


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply; `raw` is the JSON object that the server sent."""

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

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The first choice's tool calls."""
        return self.choices[0].tool_calls

    @property
    def message(self) -> Json:
        """The first choice's message, to continue the conversation."""
        return self.choices[0].message


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the server offers. `max_model_len` limits prompt and reply together; None if not reported."""

    id: str
    max_model_len: int | None


@dataclass(frozen=True, slots=True)
class SteeredChoice:
    """The result of a steering request for choice `index`.

    `applied` says whether the budget changed; None if the choice was still queued. `phase` is the state of the choice
    at that moment: "waiting" (queued), "before" (before thinking), "thinking", "closing" (the end of thinking is being
    written), "answer" or "finished". `tokens` is its number of thinking tokens at that moment.
    """

    index: int
    applied: bool | None
    phase: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Steering:
    """The result of a steering request."""

    id: str
    choices: tuple[SteeredChoice, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """The first event of a stream. `id` identifies the running reply in steering requests."""

    id: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """The next piece of the thinking of choice `index`."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ContentDelta:
    """The next piece of the answer of choice `index`."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class TextForced:
    """A text of choice `index` that the server wrote instead of the model, listed with `return_forced_text=True`.

    `kind` is "wait" (it replaced an attempt to stop), "end" (it is before the end of the thinking, and may be empty) or
    "answer" (it begins the answer). `start` counts characters from the beginning of the thinking, or of the answer.
    """

    index: int
    kind: str
    start: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """The next piece of a tool call of choice `index`.

    `call` counts the tool calls of the choice from 0. Only the first piece of a call has `id` and `name`; `arguments`
    is the next piece of the JSON text.
    """

    index: int
    call: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class ChoiceFinished:
    """The last event of choice `index`. `forced` has all its forced texts, and replaces those listed before."""

    index: int
    finish_reason: str
    thinking: ThinkingReport | None
    forced: tuple[TextForced, ...] = ()


@dataclass(frozen=True, slots=True)
class UsageReported:
    """Token counts over all choices: after the last choice, and with `continuous_usage_stats` in every chunk so far."""

    usage: Usage


Event = Started | ReasoningDelta | ContentDelta | TextForced | ToolCallDelta | ChoiceFinished | UsageReported
