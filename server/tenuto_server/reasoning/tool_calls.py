"""The same tool calls in a whole reply as in a stream, also where the reply was cut off within one."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..vllm_compat import DelegatingParser, DeltaMessage, FunctionCall
from .json_prefix import JsonPrefix


class ToolCallParser(DelegatingParser):
    """Parses the tool calls of one sequence; all text that it is given is content.

    vLLM parses whole texts and streams in different ways: only in a whole text is a call that is cut off text, and are
    arguments formatted again. Here a stream decides. A call that has a name is a call, with the arguments so far.
    Reported as https://github.com/vllm-project/vllm/issues/47903.
    """

    def __init__(self, tokenizer: Any, tools: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(tokenizer, tools, *args, **kwargs)
        self._new_parser = partial(type(self), tokenizer, tools, *args, **kwargs)
        self._whole_ids: Sequence[int] = ()
        self._given = self._sent = ""  # of a stream: the content so far, and what of it was passed on as text
        self._arguments = dict[int, JsonPrefix]()  # of a stream's calls

    def content_ids(self, ids: Sequence[int]) -> list[int]:
        """The ids of the content among those of a whole reply."""
        return list(ids)

    def parse(
        self, model_output: str, request: Any, enable_auto_tools: bool = False, model_output_token_ids: Any = ()
    ) -> tuple[str | None, str | None, list[FunctionCall] | None]:
        self._whole_ids = model_output_token_ids
        parsed: tuple[str | None, str | None, list[FunctionCall] | None] = super().parse(
            model_output, request, enable_auto_tools, model_output_token_ids
        )
        return parsed

    def _extract_tool_calls(
        self, content: str | None, request: Any, enable_auto_tools: bool = False
    ) -> tuple[list[FunctionCall] | None, str | None]:
        """(tool calls, other content) of a whole content.

        The whole text decides where a parser finds fewer calls in a stream that comes in one piece.
        """
        calls, rest = super()._extract_tool_calls(content, request, enable_auto_tools)
        is_parsed = enable_auto_tools or request.tool_choice not in ("auto", None)
        if self.tool_parser is None or not content or request.tool_choice == "none" or not is_parsed:
            return calls, rest
        streamed, text = self._new_parser().stream_at_once(content, self.content_ids(self._whole_ids), request)
        return (streamed, text) if streamed and len(streamed) >= len(calls or ()) else (calls, rest)

    def stream_at_once(self, content: str, ids: list[int], request: Any) -> tuple[list[FunctionCall], str | None]:
        """(tool calls, other content) of a stream with this content in one piece."""
        delta = self.parse_content(content, ids, request, finished=True)
        calls = dict[int, FunctionCall]()
        for part in delta.tool_calls:
            call = calls.setdefault(part.index, FunctionCall(name="", arguments=""))
            call.id = part.id or call.id
            call.name += (part.function.name if part.function else None) or ""
        for index, call in calls.items():
            call.arguments = self._arguments[index].text
        return [calls[index] for index in sorted(calls)], delta.content or None

    def parse_content(self, text: str, ids: list[int], request: Any, *, finished: bool) -> DeltaMessage:
        """What the next piece of a stream's content adds; it may be nothing."""
        # An empty prompt: without a reasoning parser, vLLM's parser takes what follows any prompt for content.
        delta = super().parse_delta(text, ids, request, [], finished=finished) or DeltaMessage()
        for part in delta.tool_calls:
            read = self._arguments.setdefault(part.index, JsonPrefix())
            if part.function is not None:  # from broken text, parsers pass on what follows the arguments too
                part.function.arguments = read.feed(part.function.arguments or "") or None
        delta.tool_calls = [part for part in delta.tool_calls if part.id or _has_text(part.function)]
        self._given += text
        self._sent += delta.content or ""
        if finished and not self._arguments:
            delta.content = (delta.content or "") + self._held_back(request)
        return delta

    def _held_back(self, request: Any) -> str:
        """The end of a stream's content that its tool parser took for the beginning of a call, where there is none."""
        _, rest = super()._extract_tool_calls(self._given, request, enable_auto_tools=True)
        return rest[len(self._sent) :] if rest and rest.startswith(self._sent) else ""

    def _append_unstreamed_tool_args(self, delta_message: DeltaMessage | None) -> None:
        """As vLLM's, which gives a call `{}` if it is cut off after its name, but only if that is in the last piece."""
        parsed = self.tool_parser.prev_tool_call_arr if self.tool_parser is not None else None
        if parsed and "arguments" in parsed[-1]:
            super()._append_unstreamed_tool_args(delta_message)


def _has_text(function: Any) -> bool:
    return function is not None and bool(function.name or function.arguments)
