"""Splits the text of replies, whole or streamed, at the thinking markers; a tool parser gets the content."""

from collections.abc import Sequence
from typing import Any

from tenuto_decoding.prompt import Phase

from ..vllm_compat import DeltaMessage, Parser
from .content_tokens import ContentTokens
from .parser import MarkerReasoningParser
from .text_splitter import TextSplitter
from .tool_calls import ToolCallParser


def with_thinking(parser_class: type[Parser]) -> type[Parser]:
    """The class that splits text as `ThinkingParser` does, with the tool parser of the given one.

    A class with a reasoning parser of vLLM's own is returned unchanged.
    """
    if parser_class.reasoning_parser_cls is not MarkerReasoningParser:
        return parser_class
    return type("ThinkingParser", (ThinkingParser, parser_class), {"reasoning_parser_cls": None})


class ThinkingParser(ToolCallParser):
    """Parses one sequence.

    A `ReasoningParser` alone cannot do this: vLLM stops asking it at the first end of thinking where a tool parser
    follows, and gives it neither the prompt of a whole reply (0.32) nor the request of a stream. So the base class has
    no reasoning parser here, and all the text that it sees is content.
    """

    def __init__(self, tokenizer: Any, tools: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(tokenizer, tools, *args, **kwargs)
        self._markers = MarkerReasoningParser(tokenizer, *args, **kwargs)
        self._phase: Phase | None = None  # at the end of the prompt, once that is known
        self._splitter: TextSplitter | None = None  # of a stream, from its first chunk on
        self._content: ContentTokens | None = None  # of a stream, from its first chunk on
        self._unparsed_ids: list[int] = []  # content that the tool parser has not seen, for its text is held back

    @property
    def reasoning_parser(self) -> MarkerReasoningParser:
        return self._markers

    @property
    def phase(self) -> Phase:
        """The phase at the end of the text so far."""
        return (self._phase or Phase.BEFORE) if self._splitter is None else self._splitter.phase

    def content_tokens(self) -> ContentTokens:
        """What finds the content among the tokens of the reply, from its first token on."""
        return self._markers.content_tokens(self._phase or Phase.BEFORE)

    def content_ids(self, ids: Sequence[int]) -> list[int]:
        return [token for _, token in self.content_tokens().take(ids, last=True)]

    def adjust_request(self, request: Any) -> Any:
        return super().adjust_request(self._markers.adjust_request(request))

    def set_prompt_token_ids(self, prompt_token_ids: Sequence[int]) -> None:
        self._phase = self._markers.phase_after(prompt_token_ids)

    def is_reasoning_end(self, input_ids: Sequence[int]) -> bool:
        return self._markers.is_reasoning_end(input_ids)

    def extract_reasoning(self, model_output: str, request: Any) -> tuple[str | None, str | None]:
        """(reasoning, content) of a whole text."""
        if self._phase is None and self._markers.closes_unopened(model_output):
            self._phase = Phase.THINKING  # the prompt, which is not known, opened it
        reasoning, content = _split(self._new_splitter(request), model_output, last=True)
        return reasoning or None, content or None

    def parse_delta(
        self,
        delta_text: str,
        delta_token_ids: list[int],
        request: Any,
        prompt_token_ids: list[int] | None = None,
        *,
        finished: bool,
    ) -> DeltaMessage | None:
        if self._splitter is None:
            if self._phase is None:
                self.set_prompt_token_ids(prompt_token_ids or ())
            self._splitter, self._content = self._new_splitter(request), self.content_tokens()
        reasoning, content = _split(self._splitter, delta_text, last=finished)
        shown = reasoning if request.include_reasoning else ""
        if self.tool_parser is None or self._content is None:
            return _delta(shown, content)
        self._unparsed_ids += [token for _, token in self._content.take(delta_token_ids, last=finished)]
        if not content and not finished:
            return _delta(shown, "")
        ids, self._unparsed_ids = self._unparsed_ids, []
        delta = self.parse_content(content, ids, request, finished=finished)
        if shown:
            delta.reasoning = shown
        return delta if delta.reasoning or delta.content or delta.tool_calls else None

    def _new_splitter(self, request: Any) -> TextSplitter:
        keeps = getattr(request, "keeps_special_tokens", False)
        return self._markers.splitter(self._phase or Phase.BEFORE, keeps_special_tokens=keeps)


def _split(splitter: TextSplitter, text: str, *, last: bool) -> tuple[str, str]:
    """(reasoning, content) that the next text adds; several blocks of thinking are possible."""
    reasoning, content = splitter.feed(text)
    if last:
        held = splitter.finish()
        return reasoning + held[0], content + held[1]
    return reasoning, content


def _delta(reasoning: str, content: str) -> DeltaMessage | None:
    fields = {name: text for name, text in (("reasoning", reasoning), ("content", content)) if text}
    return DeltaMessage(**fields) if fields else None
