"""Responses made of the events of their streams: items, statuses, logprobs; and conversations that have to fit."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.exceptions import VLLMValidationError
from vllm.logprobs import Logprob
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.parser.parser_manager import ParserManager

from tenuto_decoding.families import FAMILIES
from tenuto_server.api.openai_responses import ResponsesRequest
from tenuto_server.api.thinking_responses import ThinkingResponses
from tenuto_server.errors import InvalidRequest
from tenuto_server.reasoning import parser as reasoning
from tenuto_server.reasoning.thinking_parser import with_thinking
from tenuto_server.vllm_compat import CheckedResponses, SimpleContext

LOGPROBS: dict[str, Any] = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}
TOOLS: dict[str, Any] = {"tools": [{"type": "function", "name": "add", "parameters": {"type": "object"}}]}
PARAMS = SimpleNamespace(
    temperature=0.0, top_p=1.0, max_tokens=9, logprobs=None, presence_penalty=0.0, frequency_penalty=0.0
)


@pytest.fixture(autouse=True)
def _markers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENUTO_THINKING_MARKERS", "")  # restored afterwards
    reasoning.use_markers(FAMILIES["think"])


def serving_with(tokenizer: Any, **attributes: Any) -> ThinkingResponses:
    serving = ThinkingResponses.__new__(ThinkingResponses)
    serving.renderer = SimpleNamespace(get_tokenizer=lambda: tokenizer)
    serving.use_harmony = serving.enable_log_outputs = serving.enable_per_request_metrics = False
    serving.return_tokens_as_token_ids, serving.tool_server = False, None
    for name, value in attributes.items():
        setattr(serving, name, value)
    return serving


def outputs_of(tokenizer: Any, pieces: Sequence[tuple[str, str]], finish_reason: str) -> list[RequestOutput]:
    """What the engine returns: for each piece, the tokens of a text, and the text that is shown by then."""
    outputs = []
    for place, (new, shown) in enumerate(pieces):
        ids = tokenizer.encode(new, add_special_tokens=False)
        logprobs = [{token: Logprob(-1.0, decoded_token=tokenizer.decode([token]))} for token in ids]
        last = finish_reason if place == len(pieces) - 1 else None
        completion = CompletionOutput(0, shown, ids, None, logprobs, finish_reason=last)
        outputs.append(RequestOutput("r", "", [1], None, [completion], finished=last is not None))
    return outputs


async def responses_to(
    tokenizer: Any, pieces: Sequence[tuple[str, str]], finish_reason: str = "stop", **fields: Any
) -> tuple[dict[str, Any], list[Any]]:
    """The whole response, and the events of the stream, of the same reply."""
    chosen = ParserManager.get_parser(
        reasoning_parser_name=reasoning.NAME, tool_parser_name="hermes", enable_auto_tools=True, tokenizer=tokenizer
    )
    assert chosen is not None
    serving, results = serving_with(tokenizer), list[Any]()
    for stream in (False, True):
        request = ResponsesRequest(input="x", model="m", request_id="r", store=False, **fields)
        parser = with_thinking(chosen)(tokenizer, request.tools)
        parser.set_prompt_token_ids([1])
        context = SimpleContext(response_parser=parser)
        request.tool_choice = "auto"

        async def contexts(context: Any = context) -> AsyncGenerator[Any, None]:
            for output in outputs_of(tokenizer, pieces, finish_reason):
                context.append_output(output)
                yield context

        arguments = (request, PARAMS, contexts(), context, "m", tokenizer, None)
        if stream:
            results.append([event async for event in serving.responses_stream_generator(*arguments, created_time=1)])
        else:
            results.append(await serving.responses_full_generator(*arguments, created_time=1))
    whole, events = results
    return whole.model_dump(mode="json"), events


def piecewise(text: str, tokenizer: Any) -> list[tuple[str, str]]:
    """A text that is shown as it comes, a token at a time."""
    tokens = [tokenizer.decode([token]) for token in tokenizer.encode(text, add_special_tokens=False)]
    return [(token, token) for token in tokens]


def essence(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in ("id", "call_id") and value is not None}


async def test_blocks_keep_their_order_however_much_comes_at_once(thinker: Any) -> None:
    text = "a<think>b</think>c<think>d</think>e"
    for pieces in (piecewise(text, thinker), [(text, text)], [(text[:9], text[:9]), (text[9:], text[9:])]):
        whole, events = await responses_to(thinker, pieces, **TOOLS, **LOGPROBS)
        parts = [(item["type"], item["content"][0]) for item in whole["output"]]
        assert [(kind, part["text"]) for kind, part in parts] == [
            *(("message", "a"), ("reasoning", "b"), ("message", "c"), ("reasoning", "d"), ("message", "e")),
        ]
        for kind, part in parts:
            if kind == "message":
                assert [logprob["token"] for logprob in part["logprobs"]] == [part["text"]]
        streamed = events[-1].model_dump(mode="json")["response"]
        assert list(map(essence, streamed["output"])) == list(map(essence, whole["output"]))


@pytest.mark.parametrize(
    ("text", "finish_reason", "statuses"),
    [
        ("<think>ab</think>c", "stop", ["completed", "completed"]),
        ("<think>ab</think>c", "length", ["completed", "incomplete"]),
        ("<think>ab", "length", ["incomplete"]),
        ("<think>ab</think>", "length", ["completed"]),
        ("c", "length", ["incomplete"]),
        ("<think>ab</think>c", "abort", ["completed", "incomplete"]),
        ("<think>a</think>b<think>c", "length", ["completed", "completed", "incomplete"]),
        ('<tool_call>{"name": "add", "arguments": {"a', "length", ["incomplete"]),
        ('<tool_call>{"name": "add", "arguments": {}}', "length", ["completed"]),
        ('<tool_call>{"name": "add", "arguments": {}}</tool_call>', "stop", ["completed"]),
        ('c<tool_call>{"name": "add", "arguments": {"a', "length", ["completed", "incomplete"]),
        ('<tool_call>{"name": "add", "arguments": {"a": tru', "stop", ["incomplete"]),
    ],
)
async def test_the_item_that_was_cut_is_incomplete_and_the_stream_says_the_same(
    thinker: Any, text: str, finish_reason: str, statuses: list[str]
) -> None:
    whole, events = await responses_to(thinker, piecewise(text, thinker), finish_reason, **TOOLS)
    last = events[-1]
    assert [item["status"] for item in whole["output"]] == statuses
    assert whole["status"] == ("completed" if finish_reason == "stop" else "incomplete")
    assert whole["incomplete_details"] == ({"reason": "max_output_tokens"} if finish_reason == "length" else None)
    assert last.type == f"response.{whole['status']}"
    streamed = last.model_dump(mode="json")["response"]
    assert list(map(essence, streamed.pop("output"))) == list(map(essence, whole.pop("output")))
    assert streamed == whole
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert [item.status for item in done] == statuses
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        (
            [
                ("<think>", "<think>"),
                ("ab", "ab"),
                ("</think>", "</think>"),
                ("c", "c"),
                ("d", "d"),
                ("<|im_end|>", ""),
            ],
            "cd",
        ),
        # All at once, as a slow reader gets it.
        ([("<think>ab</think>cd<|im_end|>", "<think>ab</think>cd")], "cd"),
        # The text comes later than its tokens, since a stop string could follow, and ends before it.
        ([("<think>ab</think>c", "<think>a"), ("de", "b</think>c"), ("fg", "de")], "cde"),
        ([("cd", "cd"), *2 * [('<tool_call>{"name": "add"}', '<tool_call>{"name": "add"}')]], "cd"),
        ([("<think>ab", "<think>ab")], ""),
        ([("a", "a"), ("<think>", "<think>"), ("b", "b"), ("</think>c", "</think>c")], "ac"),
    ],
)
async def test_logprobs_are_those_of_the_answers_text_whole_and_streamed(
    thinker: Any, pieces: list[tuple[str, str]], answer: str
) -> None:
    whole, events = await responses_to(thinker, pieces, **TOOLS, **LOGPROBS)
    parts = [part for item in whole["output"] if item["type"] == "message" for part in item["content"]]
    assert "".join(part["text"] for part in parts) == answer
    for part in parts:
        assert "".join(logprob["token"] for logprob in part["logprobs"]) == part["text"]
        assert all(logprob["top_logprobs"] for logprob in part["logprobs"])
    for kind in ("delta", "done"):
        found = [event for event in events if event.type == f"response.output_text.{kind}"]
        assert "".join(logprob.token for event in found for logprob in event.logprobs) == answer
    streamed = events[-1].model_dump(mode="json")["response"]
    assert list(map(essence, streamed["output"])) == list(map(essence, whole["output"]))


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_what_is_written_around_an_answer_has_no_logprobs(thinker: Any, size: int) -> None:
    reasoning.use_markers(replace(FAMILIES["think"], answer_wrappers=("<response>", "</response>")))
    text = "<think>ab</think>\n<response>\ncd e\n</response>\n"
    tokens = [piece for piece, _ in piecewise(text, thinker)]
    pieces = ["".join(tokens[place : place + size]) for place in range(0, len(tokens), size)]
    whole, events = await responses_to(thinker, [(piece, piece) for piece in pieces], **LOGPROBS)
    (part,) = whole["output"][1]["content"]
    assert part["text"] == "".join(logprob["token"] for logprob in part["logprobs"]) == "cd e"
    streamed = events[-1].model_dump(mode="json")["response"]
    assert list(map(essence, streamed["output"])) == list(map(essence, whole["output"]))


def conversation(*lengths: int) -> list[dict[str, Any]]:
    """Instructions, and exchanges whose questions have these lengths."""
    items: list[dict[str, Any]] = [{"role": "developer", "content": "be brief"}]
    for length in lengths:
        items += [{"role": "user", "content": "x" * length}, {"role": "assistant", "content": "y"}]
    return items[:-1]


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The inputs that vLLM renders, with a token for each character."""
    inputs: list[Any] = []

    async def render(self: Any, request: Any, previous: None) -> Any:
        inputs.append(request.input)
        size = sum(len(item.get("content") or "") for item in request.input)
        if size > self.model_config.max_model_len:
            raise VLLMValidationError("too long", parameter="input_tokens", value=size)
        return SimpleNamespace(engine_input={"prompt_token_ids": [1] * size})

    monkeypatch.setattr(CheckedResponses, "_render_resolved_response_inputs", render)
    return inputs


def fitting(context: int, room: int) -> ThinkingResponses:
    return serving_with(
        None,
        model_config=SimpleNamespace(max_model_len=context),
        engine_client=SimpleNamespace(room_for_reply=lambda request: room),
        parser=None,
    )


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"truncation": "disabled"}, 3),
        ({"truncation": "auto", "max_output_tokens": 5}, 3),
        ({"truncation": "auto", "max_output_tokens": 10}, 2),
        ({"truncation": "auto"}, 1),  # 20 tokens for the answer
    ],
)
async def test_the_oldest_exchanges_are_dropped_until_the_reply_fits(
    rendered: list[Any], fields: dict[str, Any], kept: int
) -> None:
    items = conversation(7, 11, 3)
    request = ResponsesRequest(input=items, **fields)
    await fitting(context=40, room=20)._render_resolved_response_inputs(request, None)
    assert [item["content"] for item in rendered[-1]] == [
        "be brief",
        *(item["content"] for item in items[-(2 * kept - 1) :]),
    ]


@pytest.mark.parametrize("given", ["x" * 50, conversation(3, 50), conversation(40)])
async def test_a_last_exchange_that_does_not_fit_is_refused(rendered: list[Any], given: Any) -> None:
    request = ResponsesRequest(input=given, truncation="auto", max_output_tokens=8)
    with pytest.raises(InvalidRequest, match="does not leave the 8 tokens that the reply needs") as wrong:
        await fitting(context=40, room=20)._render_resolved_response_inputs(request, None)
    assert wrong.value.param == "truncation"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_input_messages": [{"role": "user", "content": "x"}]}, "previous_input_messages"),
        (
            {
                "input": [{"type": "message", "role": "assistant", "content": "{", "status": "incomplete"}],
                "text": {"format": {"type": "json_object"}},
            },
            "input",
        ),
    ],
)
async def test_what_would_be_ignored_or_contradicts_is_refused(
    rendered: list[Any], fields: dict[str, Any], param: str
) -> None:
    request = ResponsesRequest(**{"input": "x", **fields})
    with pytest.raises(InvalidRequest) as wrong:
        await fitting(context=40, room=20)._render_resolved_response_inputs(request, None)
    assert wrong.value.param == param
    assert not rendered
