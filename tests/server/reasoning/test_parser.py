"""The reasoning parser as vLLM uses it: whole texts, pieces, token ids, and together with a tool parser."""

from collections.abc import Sequence
from typing import Any

import pytest
from vllm.parser.abstract_parser import Parser
from vllm.parser.parser_manager import ParserManager

from tenuto_decoding.families import FAMILIES
from tenuto_server.api.protocol import ChatCompletionRequest
from tenuto_server.reasoning import parser as reasoning
from tenuto_server.reasoning.thinking_parser import with_thinking

OPEN = "<|im_start|>assistant\n"


TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}
TOOLS: dict[str, Any] = {"tools": [TOOL], "tool_choice": "auto"}


@pytest.fixture(params=["s1", "think"])
def family(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    use_family(name, monkeypatch)
    return name


def use_family(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENUTO_THINKING_MARKERS", "")  # restored afterwards
    reasoning.use_markers(FAMILIES[name])


@pytest.fixture
def tokenizer(family: str, chatml: Any, thinker: Any) -> Any:
    return chatml if family == "s1" else thinker


def parser_of(tokenizer: Any, **names: Any) -> Parser:
    chosen = ParserManager.get_parser(reasoning_parser_name=reasoning.NAME, tokenizer=tokenizer, **names)
    assert chosen is not None
    return with_thinking(chosen)(tokenizer, None)


def with_tools(tokenizer: Any, tool_parser: str = "hermes") -> Parser:
    return parser_of(tokenizer, tool_parser_name=tool_parser, enable_auto_tools=True)


def request_with(**fields: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest(messages=[{"role": "user", "content": "x"}], **fields)


def reply(family: str, thinking: str, answer: str) -> str:
    markers = FAMILIES[family]
    return f"{markers.start}{thinking}{markers.end}{answer}"


def streamed(
    parser: Parser, tokenizer: Any, ids: Sequence[int], prompt: str, size: int = 1, **fields: Any
) -> tuple[str, str]:
    """(reasoning, content) of a stream with `size` tokens in each piece."""
    reasoning_text = content = ""
    for start in range(0, len(ids), size):
        piece = list(ids[start : start + size])
        delta = parser.parse_delta(
            tokenizer.decode(piece),
            piece,
            request_with(**fields),
            tokenizer.encode(prompt) if start == 0 else None,
            finished=start + size >= len(ids),
        )
        if delta is not None:
            reasoning_text += delta.reasoning or ""
            content += delta.content or ""
    return reasoning_text, content


CASES = [
    (OPEN, "\nab\n", "\nc"),
    (OPEN, "", "c"),
    (OPEN, "ab", ""),
]


@pytest.mark.parametrize(("prompt", "thinking", "answer"), CASES)
def test_whole_texts_and_streams_are_split_alike(
    family: str, tokenizer: Any, prompt: str, thinking: str, answer: str
) -> None:
    text = reply(family, thinking, answer)
    whole = parser_of(tokenizer)
    whole.set_prompt_token_ids(tokenizer.encode(prompt))
    thinking_text, content, _ = whole.parse(text, request_with())
    assert (thinking_text or "", content or "") == (thinking, answer)
    assert streamed(parser_of(tokenizer), tokenizer, tokenizer.encode(text), prompt) == (thinking, answer)


def test_thinking_that_the_prompt_opened_is_reasoning(family: str, tokenizer: Any) -> None:
    prompt, text = f"{OPEN}{FAMILIES[family].start}\nso", f" ab{FAMILIES[family].end}c"
    whole = parser_of(tokenizer)
    whole.set_prompt_token_ids(tokenizer.encode(prompt))
    assert whole.parse(text, request_with())[:2] == (" ab", "c")
    assert parser_of(tokenizer).parse(text, request_with())[:2] == (" ab", "c"), "also if the prompt is unknown"
    assert streamed(parser_of(tokenizer), tokenizer, tokenizer.encode(text), prompt) == (" ab", "c")


@pytest.mark.parametrize("tool_parser", ["hermes", "qwen3_coder", "granite"])
@pytest.mark.parametrize("size", [1, 3, 100], ids="{} in a piece".format)
def test_several_blocks_of_thinking_are_reasoning_with_a_tool_parser_too(
    thinker: Any, monkeypatch: pytest.MonkeyPatch, tool_parser: str, size: int
) -> None:
    """Also with tool parsers that read token ids: they see none of thinking and its markers."""
    use_family("think", monkeypatch)
    parser = with_tools(thinker, tool_parser)
    text, request = "<think>a</think>b<think>c</think>d", request_with(**TOOLS)
    assert parser.parse(text, request, enable_auto_tools=True)[:2] == ("ac", "bd")
    parser = with_tools(thinker, tool_parser)
    assert streamed(parser, thinker, thinker.encode(text), OPEN, size, **TOOLS) == ("ac", "bd")


def test_hidden_reasoning_is_not_in_the_stream(family: str, tokenizer: Any) -> None:
    ids = tokenizer.encode(reply(family, "a", "b"))
    assert streamed(parser_of(tokenizer), tokenizer, ids, OPEN, include_reasoning=False) == ("", "b")


def test_a_reply_to_a_prompt_that_ends_in_the_answer_is_content(family: str, tokenizer: Any) -> None:
    prompt = f"{OPEN}{reply(family, 'a', 'b')}"
    assert streamed(parser_of(tokenizer), tokenizer, tokenizer.encode("cd<|im_end|>"), prompt) == ("", "cd")


def test_special_tokens_are_kept_on_request_only(family: str, tokenizer: Any) -> None:
    ids = tokenizer.encode(reply(family, "a", "b<|im_end|>"))
    assert streamed(parser_of(tokenizer), tokenizer, ids, OPEN) == ("a", "b")
    assert streamed(parser_of(tokenizer), tokenizer, ids, OPEN, skip_special_tokens=False) == ("a", "b<|im_end|>")


def test_markers_that_are_special_tokens_are_decoded(family: str, tokenizer: Any) -> None:
    request = request_with()
    parser_of(tokenizer).adjust_request(request)
    assert request.skip_special_tokens == (family != "s1")


def test_the_grammar_of_an_answer_begins_after_the_thinking(family: str, tokenizer: Any) -> None:
    """vLLM's engine asks with token ids, at the prompt and at each step."""
    parser = reasoning.MarkerReasoningParser(tokenizer)
    prompt, text = tokenizer.encode(OPEN), tokenizer.encode(reply(family, "ab", "c"))
    assert not parser.is_reasoning_end(prompt)
    ended = [
        size
        for size in range(1, len(text) + 1)
        if parser.is_reasoning_end_streaming(prompt + text[:size], [text[size - 1]])
    ]
    end = tokenizer.encode(FAMILIES[family].end)
    assert len(ended) == 1
    assert text[ended[0] - len(end) : ended[0]] == end
    assert parser.is_reasoning_end_streaming(prompt + text, text)
    assert parser.extract_content_ids(text) == text[ended[0] :]
    assert parser.is_reasoning_end(prompt + text)


@pytest.mark.parametrize("closed", [True, False], ids=["end marker", "call"])
def test_a_tool_parser_takes_over_where_the_thinking_ends(
    thinker: Any, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    """The end marker ends the thinking, and so does the opener of a tool call."""
    use_family("think", monkeypatch)
    call = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
    text = f"<think>ab{'</think>' if closed else ''}{call}"
    request = request_with(**TOOLS)

    thinking, _, calls = with_tools(thinker).parse(text, request, enable_auto_tools=True)
    assert thinking == "ab"
    assert [(one.name, one.arguments) for one in calls or []] == [("add", '{"a": 1}')]

    parser = with_tools(thinker)
    reasoning_text, name, arguments = "", "", ""
    ids = thinker.encode(text)
    for index, token in enumerate(ids):
        prompt = thinker.encode(OPEN) if index == 0 else None
        delta = parser.parse_delta(thinker.decode([token]), [token], request, prompt, finished=index == len(ids) - 1)
        if delta is not None:
            assert not delta.content
            reasoning_text += delta.reasoning or ""
            for called in delta.tool_calls:
                name += called.function.name or ""
                arguments += called.function.arguments or ""
    assert (reasoning_text, name, arguments) == ("ab", "add", '{"a": 1}')


def test_a_reasoning_parser_of_vllms_own_is_not_replaced(thinker: Any) -> None:
    chosen = ParserManager.get_parser(reasoning_parser_name="deepseek_r1", tokenizer=thinker)
    assert with_thinking(chosen) is chosen


CALLED = '<tool_call>{"name": "add", "arguments": {"a": [1, "x"], "b":  2.50}}</tool_call>'


def calls_of_a_stream(parser: Parser, tokenizer: Any, text: str, size: int, **fields: Any) -> tuple[str, Any]:
    """(content, [(name, arguments)]) of a stream."""
    ids, content, calls = tokenizer.encode(text), "", dict[int, list[str]]()
    request = request_with(**fields)
    for start in range(0, len(ids), size):
        piece = list(ids[start : start + size])
        prompt = tokenizer.encode(OPEN) if start == 0 else None
        last = start + size >= len(ids)
        delta = parser.parse_delta(tokenizer.decode(piece), piece, request, prompt, finished=last)
        for part in delta.tool_calls if delta else ():
            call = calls.setdefault(part.index, ["", ""])
            call[0] += part.function.name or ""
            call[1] += part.function.arguments or ""
        content += (delta.content if delta else None) or ""
    return content, [tuple(calls[index]) for index in sorted(calls)]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("before", ["", "</think>so: ", "</think>a <to"])
def test_whole_replies_and_streams_have_the_same_calls_wherever_they_are_cut(
    thinker: Any, monkeypatch: pytest.MonkeyPatch, size: int, before: str
) -> None:
    use_family("think", monkeypatch)
    for end in range(len(CALLED) + 1):
        text = f"<think>ab{before}{CALLED[:end]}"
        parser = with_tools(thinker)
        parser.set_prompt_token_ids(thinker.encode(OPEN))
        _, content, calls = parser.parse(text, request_with(**TOOLS), True, thinker.encode(text))
        whole = (content or "", [(call.name, call.arguments) for call in calls or ()])
        assert whole == calls_of_a_stream(with_tools(thinker), thinker, text, size, **TOOLS), text
        if not whole[1]:
            assert f"{before}{CALLED[:end]}".removeprefix("</think>").startswith(whole[0])


def test_what_a_tool_parser_holds_back_is_text_if_no_call_comes_of_it(
    thinker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_family("think", monkeypatch)
    text = "<think>a</think>1 <to"
    assert calls_of_a_stream(with_tools(thinker), thinker, text, 1, **TOOLS) == ("1 <to", [])


def test_two_calls_the_second_cut(thinker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use_family("think", monkeypatch)
    text = f"<think>a</think>{CALLED}{CALLED[:52]}"
    _, content, calls = with_tools(thinker).parse(text, request_with(**TOOLS), True, thinker.encode(text))
    assert [(call.name, call.arguments) for call in calls or ()] == [
        ("add", '{"a": [1, "x"], "b":  2.50}'),
        ("add", '{"a": [1, "x'),
    ]
    assert content is None
