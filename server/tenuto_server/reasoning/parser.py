"""A reasoning parser for vLLM that knows the markers of any family, the same ones that budgets are enforced with.

vLLM's own parsers know one model family each, and some take text for reasoning that no marker opened. This one splits
where the tokens are counted. vLLM imports this module by name where it needs the parser, also in its engine process.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from vllm.entrypoints.generate.base.protocol import DeltaMessage
from vllm.parser.abstract_parser import Parser
from vllm.reasoning import ReasoningParser, ReasoningParserManager

from tenuto_decoding.markers import ThinkingMarkers, detect_markers
from tenuto_decoding.plan import ThinkingPlan, compile_plan
from tenuto_decoding.prompt import Phase, initial_phase
from tenuto_decoding.vllm_requests import PARSER
from tenuto_decoding.vocabulary import Vocabulary

from .text_splitter import Markup, TextSplitter

NAME = PARSER

_VARIABLE = "TENUTO_THINKING_MARKERS"


_markers_json = TypeAdapter(ThinkingMarkers)


def use_markers(markers: ThinkingMarkers) -> None:
    """Set the markers for this process and those that it starts from now on."""
    os.environ[_VARIABLE] = _markers_json.dump_json(markers).decode()


@dataclass(frozen=True)
class _Reading:
    """How generated text is read: what all parsers for one tokenizer share.

    Attributes:
        plan: one that only counts.
        hidden, shown: what means something in a text whose control tokens are left out, and in one that shows them.
    """

    markers: ThinkingMarkers
    plan: ThinkingPlan
    hidden: Markup
    shown: Markup


@lru_cache(maxsize=8)
def _reading(tokenizer: Any, given: str | None) -> _Reading:
    if given:
        markers = _markers_json.validate_json(given)
    else:  # outside of our server: then they are detected, as the logits processor detects them
        markers = detect_markers(tokenizer, str(tokenizer.chat_template or ""))
    plan = compile_plan(None, markers, tokenizer)

    def markup(dropped: Sequence[str]) -> Markup:
        return Markup(
            start=markers.start,
            end=markers.end,
            openers=markers.also_ends,
            dropped=tuple(text for text in dropped if text not in markers.also_ends),
            exclusive=plan.end.gate == 0,
        )

    return _Reading(markers, plan, hidden=markup(tokenizer.all_special_tokens), shown=markup(()))


class MarkerReasoningParser(ReasoningParser):
    """Splits one sequence. vLLM makes an instance for each, and feeds it either the whole text or its pieces.

    Attributes:
        shows_special_tokens: whether the request asked to see control tokens in the text.
    """

    # What vLLM calls engine-based: only new text is handed in, and what is held back is asked for at the end.
    engine_based_streaming = True

    def __init__(self, tokenizer: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(tokenizer, *args, **kwargs)
        self._reading = _reading(tokenizer, os.environ.get(_VARIABLE))
        self._plan = self._reading.plan
        self.shows_special_tokens = False
        self._phase: Phase | None = None  # that of the prompt, once it is known
        self._splitter: TextSplitter | None = None

    @property
    def reasoning_start_str(self) -> str:
        return self._reading.markers.start

    @property
    def reasoning_end_str(self) -> str:
        return self._reading.markers.end

    def adjust_request(self, request: Any) -> Any:
        """Have the markers decoded, where they are control tokens."""
        special = Vocabulary.of(self.model_tokenizer).special
        if special.intersection(self._plan.start.ids + self._plan.end.ids):
            request.skip_special_tokens = False
        return request

    def adjust_initial_state_from_prompt(self, prompt_token_ids: Sequence[int]) -> None:
        self._phase = initial_phase(self._plan, prompt_token_ids)

    def is_reasoning_end(self, input_ids: Sequence[int]) -> bool:
        return initial_phase(self._plan, input_ids) is Phase.ANSWER

    def is_reasoning_end_streaming(self, input_ids: Sequence[int], delta_ids: Iterable[int]) -> bool:
        new = len(list(delta_ids))
        return self._end_in(input_ids[-(new + len(self._plan.end.ids) - 1) :], new) is not None

    def extract_content_ids(self, input_ids: list[int]) -> list[int]:
        end = self._end_in(input_ids, len(input_ids))
        return [] if end is None else input_ids[end:]

    def has_engine_confirmed_reasoning_end(self) -> bool:
        return self._splitter is not None and self._splitter.phase is Phase.ANSWER

    def extract_reasoning(self, model_output: str, request: Any) -> tuple[str | None, str | None]:
        if self._phase is None and self._opened_before(model_output):
            self._phase = Phase.THINKING
        self._splitter = self._start()
        reasoning, content = self.split(model_output, last=True)
        return reasoning or None, content or None

    def extract_reasoning_streaming(
        self,
        previous_text: str,
        current_text: str,
        delta_text: str,
        previous_token_ids: Sequence[int],
        current_token_ids: Sequence[int],
        delta_token_ids: Sequence[int],
    ) -> DeltaMessage | None:
        return _delta(*self.split(delta_text))

    def split(self, text: str, *, last: bool = False) -> tuple[str, str]:
        """(reasoning, content) that new text of a stream adds, several blocks of thinking or not."""
        self._splitter = self._splitter or self._start()
        reasoning, content = self._splitter.feed(text)
        if last:
            held = self._splitter.finish()
            return reasoning + held[0], content + held[1]
        return reasoning, content

    def finish_streaming(self) -> DeltaMessage | None:
        """What was held back, at the end of the text or where a tool parser takes over."""
        return None if self._splitter is None else _delta(*self._splitter.finish())

    def _start(self) -> TextSplitter:
        markup = self._reading.shown if self.shows_special_tokens else self._reading.hidden
        return TextSplitter(markup, self._phase or Phase.BEFORE)

    def _opened_before(self, text: str) -> bool:
        """Whether a text whose prompt is not known goes on with thinking that the prompt opened."""
        end = text.find(self._reading.markers.end)
        return end >= 0 and self._reading.markers.start not in text[:end]

    def _end_in(self, ids: Sequence[int], new: int) -> int | None:
        """Where the last end of thinking stands that is completed by the last `new` ids: the index after it."""
        end, size = self._plan.end.ids, len(self._plan.end.ids)
        for stop in range(len(ids), len(ids) - new, -1):
            if tuple(ids[max(0, stop - size) : stop]) == end or ids[stop - 1] in self._plan.also_ends:
                return stop
        return None


def _delta(reasoning: str, content: str) -> DeltaMessage | None:
    given = {name: text for name, text in (("reasoning", reasoning), ("content", content)) if text}
    return DeltaMessage(**given) if given else None


def _with_reasoning(delta: DeltaMessage | None, reasoning: str) -> DeltaMessage | None:
    """The delta with reasoning in front of it, under both names."""
    if not reasoning:
        return delta
    if delta is None:  # nearly always; to set the fields of one that is there takes longer
        return DeltaMessage(reasoning=reasoning, reasoning_content=reasoning)
    delta.reasoning = reasoning
    return _with_both_names(delta)


def _with_both_names(delta: DeltaMessage | None) -> DeltaMessage | None:
    if delta is not None and delta.reasoning is not None:
        delta.reasoning_content = delta.reasoning
    return delta


ReasoningParserManager.register_module(NAME, module=MarkerReasoningParser)


class _QuicklyMade(Parser):
    """Spares a parser what takes longer than the rest of it, for vLLM makes three for each request.

    That is a look into the model's configuration for how its tool calls are named, which only tools need.
    """

    def __init__(self, *args: Any, model_config: Any = None, **kwargs: Any) -> None:
        if self.tool_parser_cls is None and self.reasoning_parser_cls is MarkerReasoningParser:
            model_config = None
        super().__init__(*args, model_config=model_config, **kwargs)


def with_reasoning_content(parser_class: type[Parser]) -> type[Parser]:
    """A parser whose deltas carry the reasoning under the two names that clients read.

    It also tells our reasoning parser what vLLM does not: the prompt, and what the request shows.
    """

    class BothNames(_QuicklyMade, parser_class):
        _answer_ids: Sequence[int] = ()  # ids whose text is held back: no tool parser has seen them yet

        def parse(self, model_output: str, request: Any, *args: Any, **kwargs: Any) -> Any:
            self._introduce(request)
            return super().parse(model_output, request, *args, **kwargs)

        def parse_delta(
            self,
            delta_text: str,
            delta_token_ids: list[int],
            request: Any,
            prompt_token_ids: list[int] | None = None,
            *,
            finished: bool,
        ) -> DeltaMessage | None:
            ours, state = self.reasoning_parser, self._stream_state
            if not isinstance(ours, MarkerReasoningParser):
                delta = super().parse_delta(delta_text, delta_token_ids, request, prompt_token_ids, finished=finished)
                return _with_both_names(delta)
            if not state.prompt_reasoning_checked:
                self._introduce(request)
                ours.adjust_initial_state_from_prompt(prompt_token_ids or ())
                # vLLM leaves a reasoning parser at the first end of thinking; all that it gets to see is the answer.
                state.prompt_reasoning_checked = state.reasoning_ended = True
            reasoning, content = ours.split(delta_text, last=finished)
            shown = reasoning if request.include_reasoning else ""
            if self.tool_parser is None:  # then there is nothing left to be parsed
                return _with_reasoning(DeltaMessage(content=content) if content else None, shown)
            self._answer_ids = [] if reasoning and not content else [*self._answer_ids, *delta_token_ids]
            delta = None
            if content or finished:
                delta = super().parse_delta(content, self._answer_ids, request, finished=finished)
                self._answer_ids = []
            return _with_reasoning(delta, shown)

        def set_prompt_token_ids(self, prompt_token_ids: Sequence[int]) -> None:
            super().set_prompt_token_ids(prompt_token_ids)
            if isinstance(self.reasoning_parser, MarkerReasoningParser):
                self.reasoning_parser.adjust_initial_state_from_prompt(prompt_token_ids)

        def count_reasoning_tokens(self, token_ids: Sequence[int]) -> int:
            return 0  # the engine's account is exact and is put in its place

        def _introduce(self, request: Any) -> None:
            ours = self.reasoning_parser
            if isinstance(ours, MarkerReasoningParser):
                ours.shows_special_tokens = getattr(request, "shows_special_tokens", False)

    return BothNames
