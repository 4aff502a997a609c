"""Spans for OpenTelemetry: vLLM's own, one for each choice of a request, with what it does not know of the thinking.

vLLM makes a span in the moment in which the engine has finished a choice, when its waits may not be known yet. So the
span is held back until the report of the choice is final. A choice that does not finish, because its client disconnects
or it fails, gets a span like it.
"""

import threading
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from tenuto_decoding.vllm_requests import REQUEST_KEY

from ..metrics.choices import EndedChoice
from ..vllm_compat import EngineCoreRequest
from .accounting import CountedChoice
from .registry import RunningReply
from .whole_replies import CountingOutputProcessor


class SpanAttribute:
    """The names of what is added. OpenTelemetry's names for generative AI still change, so they are only here."""

    MODEL = "gen_ai.response.model"
    THINKING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
    ANSWER_TOKENS = "tenuto.usage.answer_tokens"
    CHOICE = "tenuto.choice.index"
    OUTCOME = "tenuto.choice.outcome"
    ENDED_BY = "tenuto.thinking.ended_by"
    FORCED_BY = "tenuto.thinking.forced_by"
    WAITS = "tenuto.thinking.waits"
    CAP = "tenuto.thinking.max_tokens"
    FLOOR = "tenuto.thinking.min_tokens"
    STEERED = "tenuto.thinking.steered"
    FIRST_THINKING = "tenuto.latency.time_to_first_thinking_token"
    FIRST_ANSWER = "tenuto.latency.time_to_first_answer_token"


class TracedOutputProcessor(CountingOutputProcessor):
    """An output processor that leaves vLLM's spans of counted choices to `trace_choice`."""

    def add_request(
        self,
        request: EngineCoreRequest,
        prompt: str | None,
        parent_req: Any = None,
        request_index: int = 0,
        queue: Any = None,
    ) -> None:
        super().add_request(request, prompt, parent_req, request_index, queue)
        params = request.sampling_params
        if not self.tracing_enabled or params is None:
            return
        reply = self._find((params.extra_args or {}).get(REQUEST_KEY, ""))
        if reply is not None:
            self.request_states[request.request_id].traced_choice = reply.choices[request_index]

    def do_tracing(self, engine_core_output: Any, req_state: Any, iteration_stats: Any) -> None:
        make = partial(super().do_tracing, engine_core_output, req_state, iteration_stats)
        choice = getattr(req_state, "traced_choice", None)
        if choice is None:
            make()
        else:
            choice.make_span = make


def trace_choice(running: RunningReply, choice: CountedChoice, ended: EndedChoice, outcome: str) -> None:
    """Make the span of a choice that has ended, if requests are traced.

    Args:
        outcome: `finished`, `cancelled` or `error`.
    """
    if running.span is None:
        return
    token = _added.set(_attributes(running, choice, ended, outcome))
    try:
        if choice.make_span is None:
            running.span.make(len(choice.ids), _since(ended.arrived, choice.first_token))
        release_span(choice)
    finally:
        _added.reset(token)


def release_span(choice: CountedChoice) -> None:
    """Make vLLM's span of a choice, where it is held back."""
    if choice.make_span is not None:
        choice.make_span()
        choice.make_span = None


def _attributes(running: RunningReply, choice: CountedChoice, ended: EndedChoice, outcome: str) -> dict[str, Any]:
    """What is added to the span; nothing where there is nothing, such as a cap."""
    report = choice.report
    found = {
        SpanAttribute.MODEL: ended.model_name,
        SpanAttribute.THINKING_TOKENS: ended.thinking,
        SpanAttribute.ANSWER_TOKENS: ended.answer,
        SpanAttribute.CHOICE: running.first_index + running.reply.choices.index(choice),
        SpanAttribute.OUTCOME: outcome,
        SpanAttribute.ENDED_BY: ended.ending,
        SpanAttribute.FORCED_BY: ended.forced_by,
        SpanAttribute.WAITS: ended.waits,
        SpanAttribute.CAP: report.max_thinking_tokens,
        SpanAttribute.FLOOR: report.min_thinking_tokens,
        SpanAttribute.STEERED: report.steered,
        SpanAttribute.FIRST_THINKING: _since(ended.arrived, ended.first_thinking),
        SpanAttribute.FIRST_ANSWER: _since(ended.arrived, ended.first_answer),
    }
    return {name: value for name, value in found.items() if value is not None}


def _since(begin: float, end: float | None) -> float | None:
    return None if end is None else end - begin


#: Of the span that is started next in this context.
_added: ContextVar[Mapping[str, Any] | None] = ContextVar("added_attributes", default=None)


class AttributeAdder(SpanProcessor):
    """Adds our attributes to spans as they start: vLLM ends its span at once, and nobody else gets to see it."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        attributes = _added.get() or {}
        span.set_attributes(attributes)
        if attributes.get(SpanAttribute.OUTCOME) == "error":
            span.set_status(trace.StatusCode.ERROR)


def start_tracing() -> None:
    """Have attributes added to the spans of this process, once vLLM has set up what exports them."""
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(AttributeAdder())


def flush_spans(seconds: float) -> None:
    """Export the spans that wait for it, but give up after that time: the collector may not answer."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        thread = threading.Thread(target=provider.force_flush, name="flush-spans", daemon=True)
        thread.start()
        thread.join(seconds)
