"""The items of a request to `/v1/responses`, as chat messages: nothing of them is lost."""

from time import monotonic
from typing import Any

import pytest
from vllm.entrypoints.openai.responses.utils import construct_input_messages
from vllm.exceptions import VLLMValidationError

from tenuto_server.api.openai_responses import ResponsesRequest
from tenuto_server.api.prefill import Prefill
from tenuto_server.api.response_input import Conversation, read_input, refusal_of_input
from tenuto_server.errors import InvalidRequest

USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"}


def message(*texts: str, **fields: Any) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text} for text in texts]
    return {"type": "message", "role": "assistant", "content": parts, **fields}


def thought(*texts: str, **fields: Any) -> dict[str, Any]:
    parts = [{"type": "reasoning_text", "text": text} for text in texts]
    return {"type": "reasoning", "summary": [], "content": parts, **fields}


def read(*items: Any) -> Conversation:
    """As the request type parses them."""
    return read_input(ResponsesRequest(input=list(items)).input)


def messages_of(*items: Any) -> list[dict[str, Any]]:
    """What vLLM makes of the conversation, without what is not set."""
    made = construct_input_messages(request_input=read(*items).for_vllm())
    return [{name: value for name, value in message.items() if value is not None} for message in made]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([message("a", "b")], [{"role": "assistant", "content": "a\nb"}]),
        ([message()], [{"role": "assistant", "content": ""}]),
        ([{"role": "assistant", "content": "a"}], [{"role": "assistant", "content": "a"}]),
        (
            [message("a", content=[{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}])],
            [{"role": "assistant", "content": "a\nno"}],
        ),
        ([thought("a", "b"), message("c")], [{"role": "assistant", "reasoning": "a\nb", "content": "c"}]),
        (
            [{"type": "reasoning", "summary": [{"type": "summary_text", "text": text} for text in "ab"]}, message("c")],
            [{"role": "assistant", "reasoning": "a\n\nb", "content": "c"}],
        ),
        ([thought(), message("c")], [{"role": "assistant", "content": "c"}]),
        # An answer, and then the thinking before the next one.
        (
            [message("a"), thought("b"), message("c")],
            [{"role": "assistant", "content": "a"}, {"role": "assistant", "reasoning": "b", "content": "c"}],
        ),
        ([message("a"), message("b")], [{"role": "assistant", "content": text} for text in "ab"]),
        # One reply, of three responses.
        (
            [thought("a", status="incomplete"), thought("b"), message("c", status="incomplete"), message("d")],
            [{"role": "assistant", "reasoning": "ab", "content": "cd"}],
        ),
    ],
)  # fmt: skip
def test_every_part_of_an_assistants_turn_is_in_its_message(
    items: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    assert messages_of(USER, *items, USER) == [USER, *expected, USER]


def test_thinking_and_calls_of_one_turn_are_one_message() -> None:
    output = {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "3"}]}
    made = messages_of(
        USER, thought("a"), message("b"), CALL, {**CALL, "call_id": "d"}, output, thought("e"), CALL, USER
    )
    assert [(turn["role"], turn.get("reasoning"), len(turn.get("tool_calls", ()))) for turn in made] == [
        ("user", None, 0),
        ("assistant", "a", 2),
        ("tool", None, 0),
        ("assistant", "e", 1),
        ("user", None, 0),
    ]
    assert made[1]["content"] == "b"
    assert made[2]["content"] == [{"type": "input_text", "text": "3"}]


def test_a_conversation_can_be_converted_several_times() -> None:
    conversation = read(USER, thought("a"), message("b"), USER)
    made = [construct_input_messages(request_input=conversation.for_vllm()) for _ in range(2)]
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("last", "prefill"),
    [
        ([thought("a", status="incomplete")], Prefill(thinking="a", answer=None)),
        ([thought("a", status="in_progress")], Prefill(thinking="a", answer=None)),
        ([thought("a")], Prefill(thinking="a", answer=None)),
        ([thought("a", status="completed")], Prefill(thinking="a", answer="")),
        ([message("a", "b", status="incomplete")], Prefill(thinking=None, answer="a\nb")),
        ([thought("a"), message("b", status="in_progress")], Prefill(thinking="a", answer="b")),
        ([thought(text, status="incomplete") for text in "abc"], Prefill(thinking="abc", answer=None)),
        (
            [thought("a", status="incomplete"), *[message(text, status="incomplete") for text in "bc"]],
            Prefill(thinking="a", answer="bc"),
        ),
    ],
)
def test_a_reply_goes_on_from_the_last_items(last: list[dict[str, Any]], prefill: Prefill) -> None:
    conversation = read(USER, *last)
    assert conversation == Conversation([USER], prefill)


@pytest.mark.parametrize("last", [[message("a")], [message("a", status="completed")], [thought("a"), message("b")]])
def test_a_message_that_is_complete_is_an_earlier_turn(last: list[dict[str, Any]]) -> None:
    conversation = read(USER, *last)
    assert conversation.prefill is None
    assert conversation.items[-1] == {"role": "assistant", "content": last[-1]["content"][0]["text"]}


def test_items_that_were_cut_belong_to_the_history_where_a_message_follows() -> None:
    assert read(USER, thought("a", status="incomplete"), USER).prefill is None
    assert read(USER, message("a", status="incomplete"), USER).prefill is None


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"type": "item_reference", "id": "msg_1"}, "stores nothing"),
        ({"id": "msg_1"}, "stores nothing"),
        ({"type": "reasoning", "summary": [], "encrypted_content": "x"}, "encrypted reasoning cannot be read"),
        ({**CALL, "status": "incomplete"}, "a call that was cut off"),
    ],
)
def test_what_cannot_be_in_a_prompt_is_refused(item: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as wrong:
        read(USER, item)
    assert wrong.value.param == "input"


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"include": ["message.input_image.image_url"]}, "include"),
        ({"top_logprobs": 2}, "top_logprobs"),
    ],
)
def test_what_is_stored_elsewhere_or_would_be_ignored_is_refused(fields: dict[str, Any], parameter: str) -> None:
    with pytest.raises(InvalidRequest) as wrong:
        ResponsesRequest(input="x", **fields)
    assert wrong.value.param == parameter


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": None, "conversation": None, "include": None, "prompt": None},
        {"include": ["reasoning.encrypted_content"], "store": True, "top_logprobs": 0},
        {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
    ],
)
def test_what_clients_send_by_default_is_accepted(fields: dict[str, Any]) -> None:
    assert ResponsesRequest(input="x", **fields).input == "x"


@pytest.mark.parametrize(
    ("error", "param", "reason"),
    [
        (VLLMValidationError("bad part", parameter="type", value="x"), "input", "input: bad part"),
        (VLLMValidationError("too long", parameter="input_tokens"), "input", "input: too long"),
        (VLLMValidationError("bad tools", parameter="tools"), "tools", "bad tools"),
        (ValueError("no query"), "input", "input: cannot be put into a prompt: no query"),
        (KeyError("name"), "input", "input: cannot be put into a prompt: 'name'"),
        (InvalidRequest("truncation", "x"), "truncation", "truncation: x"),
    ],
)
def test_whatever_is_raised_about_the_conversation_names_a_field(error: Exception, param: str, reason: str) -> None:
    refusal = refusal_of_input(error, ResponsesRequest(input="x"))
    assert getattr(refusal, "parameter" if isinstance(refusal, VLLMValidationError) else "param") == param
    assert str(refusal).startswith(reason)


def test_the_oldest_exchanges_go_first_and_instructions_stay() -> None:
    developer = {"role": "developer", "content": "be brief"}
    items = [developer, USER, {"role": "assistant", "content": "a"}, developer, USER, USER]
    conversation = Conversation(items)
    assert conversation.questions == [1, 4, 5]
    assert [conversation.since(place).items for place in conversation.questions[1:]] == [
        [developer, developer, USER, USER],
        [developer, developer, USER],
    ]


def test_reading_takes_a_time_that_grows_with_the_input_only() -> None:
    """A text in very many pieces is not copied again for each of them."""
    items = [{"role": "assistant", "content": "x" * 80, "status": "incomplete"}] * 30_000
    begun = monotonic()
    conversation = read_input(items)
    assert monotonic() - begun < 5
    assert conversation.prefill is not None
    assert len(conversation.prefill.answer or "") == 80 * len(items)
