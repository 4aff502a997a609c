"""The reasoning parser that vLLM finds by name. It knows the markers of every family, those that budgets use.

vLLM's own parsers know one model family each, and some take text for reasoning that no marker opened. The engine
process asks this one in token ids whether thinking has ended, so that a grammar begins there. It splits no text: in the
API server, `ThinkingParser` does.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from vllm.reasoning import ReasoningParser, ReasoningParserManager

from tenuto_decoding.detection import detect_markers
from tenuto_decoding.markers import ThinkingMarkers
from tenuto_decoding.matching import Hit, is_added
from tenuto_decoding.plan import ThinkingPlan, compile_plan
from tenuto_decoding.prompt import Phase, initial_phase
from tenuto_decoding.vllm_compat import template_of
from tenuto_decoding.vllm_requests import PARSER
from tenuto_decoding.vocabulary import Vocabulary

from .answer_wrappers import AnswerWrappers
from .content_tokens import ContentTokens
from .text_splitter import Markup, TextSplitter

NAME = PARSER

_VARIABLE = "TENUTO_THINKING_MARKERS"
_markers_json = TypeAdapter(ThinkingMarkers)


def use_markers(markers: ThinkingMarkers) -> None:
    """Set the markers for this process and for those that it starts from now on."""
    os.environ[_VARIABLE] = _markers_json.dump_json(markers).decode()


@dataclass(frozen=True)
class _Reading:
    """What all parsers for one tokenizer share.

    Attributes:
        plan: a plan that only counts.
        hidden, shown: the markup of text without special tokens, and of text that keeps them.
    """

    markers: ThinkingMarkers
    plan: ThinkingPlan
    hidden: Markup
    shown: Markup


@lru_cache(maxsize=8)
def _reading(tokenizer: Any, markers_json: str | None) -> _Reading:
    if markers_json:
        markers = _markers_json.validate_json(markers_json)
    else:  # outside of our server; the logits processor detects them in the same way
        markers = detect_markers(tokenizer, template_of(tokenizer))
    plan = compile_plan(None, markers, tokenizer)

    def markup(dropped: Sequence[str]) -> Markup:
        return Markup(
            start=markers.start,
            end=markers.end,
            start_spellings=markers.start_spellings,
            end_spellings=markers.end_spellings,
            wrappers=AnswerWrappers(markers.answer_wrappers),
            no_thinking=markers.no_thinking,
            openers=markers.also_ends,
            dropped=tuple(text for text in dropped if text not in markers.also_ends),
            exclusive=is_added(plan.end.patterns[0].symbols[0]),
        )

    return _Reading(markers, plan, hidden=markup(tokenizer.all_special_tokens), shown=markup(()))


class MarkerReasoningParser(ReasoningParser):
    """Finds in token ids where thinking ends."""

    def __init__(self, tokenizer: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(tokenizer, *args, **kwargs)
        self._reading = _reading(tokenizer, os.environ.get(_VARIABLE))
        self._plan = self._reading.plan

    @property
    def reasoning_start_str(self) -> str:
        return self._reading.markers.start

    @property
    def reasoning_end_str(self) -> str:
        return self._reading.markers.end

    def adjust_request(self, request: Any) -> Any:
        """Have the markers decoded if they are special tokens."""
        special = Vocabulary.of(self.model_tokenizer).special
        if special.intersection(self._plan.start.ids + self._plan.end.ids):
            request.skip_special_tokens = False
        return request

    def phase_after(self, prompt_token_ids: Sequence[int]) -> Phase:
        """The phase in which a reply to this prompt begins."""
        return initial_phase(self._plan, prompt_token_ids)

    def is_reasoning_end(self, input_ids: Sequence[int]) -> bool:
        return self.phase_after(input_ids) is Phase.ANSWER

    def is_reasoning_end_streaming(self, input_ids: Sequence[int], delta_ids: Iterable[int]) -> bool:
        new = len(list(delta_ids))
        return self._end_in(input_ids[-(new + max(self._plan.table.depths)) :], new) is not None

    def extract_content_ids(self, input_ids: list[int]) -> list[int]:
        end = self._end_in(input_ids, len(input_ids))
        return [] if end is None else input_ids[end:]

    def content_tokens(self, phase: Phase) -> ContentTokens:
        """What finds the content of one sequence that begins in this phase among its tokens."""
        return ContentTokens(self._plan, phase)

    def continuation(self, prompt: Sequence[int], thinking: str | None, answer: str | None) -> tuple[str, ...]:
        """The texts after a prompt, each to be encoded alone, as if the reply to it had begun with these.

        Args:
            thinking: None where the reply began without.
            answer: None while the thinking goes on.

        Raises:
            ValueError: for thinking where the prompt has closed it.
        """
        markers, phase = self._reading.markers, self.phase_after(prompt)
        if thinking is None:
            # As a cap of 0 does, the end marker begins the answer of a model that opens no thinking on its own.
            closes = phase is Phase.THINKING or (phase is Phase.BEFORE and markers.force_start)
            return (markers.end if closes else "", answer or "")
        if phase is Phase.ANSWER:
            raise ValueError("the prompt has closed the thinking")
        opening = "" if phase is Phase.THINKING else markers.start
        return (opening, thinking) if answer is None else (opening, thinking, markers.end, answer)

    def pieces(self, text: str) -> list[str]:
        """The text, cut after each start of thinking: in no piece is there content before thinking."""
        return self._reading.shown.pieces(text)

    def closes_unopened(self, text: str) -> bool:
        """Whether a whole text closes thinking that it did not open."""
        return self._reading.shown.closes_unopened(text)

    @property
    def answer_wrappers(self) -> AnswerWrappers:
        """The texts around an answer, which are left out of it."""
        return self._reading.shown.wrappers

    def splitter(self, phase: Phase, *, keeps_special_tokens: bool) -> TextSplitter:
        """A splitter for the text of one sequence that begins in this phase."""
        return TextSplitter(self._reading.shown if keeps_special_tokens else self._reading.hidden, phase)

    def _end_in(self, ids: Sequence[int], new: int) -> int | None:
        """The index after the last end of thinking that one of the last `new` ids completes; the ids begin inside."""
        table, found = self._plan.table, None
        state = table.inside
        for stop, token in enumerate(ids, 1):
            state, hit, _, _ = table.step(state, token)
            if hit in (Hit.END, Hit.OPENER) and stop > len(ids) - new:
                found = stop
        return found


ReasoningParserManager.register_module(NAME, module=MarkerReasoningParser)
