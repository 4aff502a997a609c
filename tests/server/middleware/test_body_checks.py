"""The limits of one request, and what no request may set."""

import inspect
import json
from typing import Any

import pytest
from fastapi.routing import APIRoute
from transformers import PythonBackend

from tenuto_server.api.routes import tokenization
from tenuto_server.config.limits import Limits
from tenuto_server.errors import InvalidRequest
from tenuto_server.middleware.body_checks import (
    MAX_DEPTH,
    TEMPLATE_ARGUMENTS,
    check_body,
    check_characters,
    count_slots,
)
from tenuto_server.paths import ENDPOINTS, find_endpoint

LIMITS = Limits(n=4, num_waits=10, output_tokens=100)
CHAT, TEXT, BATCH = "/v1/chat/completions", "/v1/completions", "/v1/chat/completions/batch"


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def part(kind: str, url: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": kind, kind: url}]}]}


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"n": 5}, "n", "5 is above 4, the most that this server allows (--max-n)"),
        ({"n": "5"}, "n", "'5' is not a whole number"),
        ({"n": 5.0}, "n", "5.0 is not a whole number"),
        ({"n": True}, "n", "True is not a whole number"),
        ({"n": [5]}, "n", "[5] is not a whole number"),
        ({"n": 10**100}, "n", "... is above 4"),
        ({"best_of": 2}, "best_of", "request n"),
        ({"num_waits": 11}, "num_waits", "11 is above 10, the most that this server allows (--max-num-waits)"),
        ({"vllm_xargs": {"num_waits": 11}}, "num_waits", "11 is above 10"),
        ({"max_tokens": 101}, "max_tokens", "101 is above 100, the most that this server allows (--max-output-tokens)"),
        ({"max_tokens": "101"}, "max_tokens", "not a whole number"),
        ({"max_completion_tokens": 101}, "max_completion_tokens", "101 is above 100"),
        ({"max_output_tokens": 101}, "max_output_tokens", "101 is above 100"),
        ({"chat_template": "{{ messages }}"}, "chat_template", "a template is code"),
        ({"chat_template": ""}, "chat_template", "a template is code"),
        ({"prompt_embeds": "AAAA"}, "prompt_embeds", "send text or token ids"),
        ({"logits_processors": ["os.system"]}, "logits_processors", "code is not accepted"),
        ({"custom_logit_processor": "x"}, "custom_logit_processor", "code is not accepted"),
        ({"mm_processor_kwargs": {"a": 1}}, "mm_processor_kwargs", "only the server decides"),
        ({"media_io_kwargs": {"a": {}}}, "media_io_kwargs", "only the server decides"),
        ({"kv_transfer_params": {"do_remote_decode": True}}, "kv_transfer_params", "clients cannot make the server"),
        ({"ec_transfer_params": {}}, "ec_transfer_params", "clients cannot make the server"),
        ({"vllm_xargs": {"kv_transfer_params": "x"}}, "vllm_xargs", "'kv_transfer_params' is not for requests"),
        ({"vllm_xargs": {"thinking_request": "x"}}, "vllm_xargs", "'thinking_request' is not for requests"),
        ({"background": True}, "background", "ends with its request"),
        ({"request_id": "x" * 129}, "request_id", "... is not 1 to 128 letters, digits and ._:-"),
        ({"request_id": "two\nlines"}, "request_id", r"'two\nlines' is not"),
        ({"request_id": "line\n"}, "request_id", r"'line\n' is not"),
        ({"request_id": ""}, "request_id", "'' is not"),
        ({"background": "yes"}, "background", "ends with its request"),
        ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs", "'tokenize' is an argument of"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs", "'messages' is an argument of"),
        (part("image_url", {"url": "http://10.0.0.1/"}), "image_url", "does not fetch media (--allowed-media-domains)"),
        (part("image_url", "https://example.org/a.png"), "image_url", "does not fetch media"),
        (part("image_url", {"url": " FILE:///etc/passwd"}), "image_url", "file scheme"),
        (part("audio_url", {"url": "/etc/passwd"}), "audio_url", "no scheme"),
        (part("video_url", {"url": "http://[broken"}), "video_url", "no scheme"),
        (
            {"input": [{"content": [{"type": "input_file", "file_url": "http://a"}]}]},
            "file_url",
            "does not fetch media",
        ),
        (
            {"messages": [{"content": [{"source": {"type": "url", "url": "http://a"}}]}]},
            "source",
            "does not fetch media",
        ),
        ({"messages": [[{"content": [{"image_url": "http://a"}]}]]}, "image_url", "does not fetch media"),
        ({"system": [{"content": [{"image_url": "http://a"}]}]}, "image_url", "does not fetch media"),
        (nested(MAX_DEPTH + 1), "body", f"nested more than {MAX_DEPTH} levels deep"),
        ({"a": nested(MAX_DEPTH)}, "body", f"nested more than {MAX_DEPTH} levels deep"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_refusal_names_the_field_the_value_and_the_limit(body: Any, param: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check_body(body, LIMITS)
    assert refusal.value.param == param
    assert str(refusal.value).startswith(f"{param}: ")
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        7,
        {},
        {"n": 4, "num_waits": 10, "max_tokens": 100},
        {"request_id": "resp_my-id.7:" + "x" * 115},
        {"request_id": None},
        {"request_id": 7},
        {"n": None, "max_tokens": None, "chat_template": None, "best_of": 1, "background": False},
        {"num_waits": "many", "vllm_xargs": 3, "chat_template_kwargs": "x"},
        {"chat_template_kwargs": {"enable_thinking": False, "thinking_budget": 3, "reasoning_effort": "low"}},
        part("image_url", {"url": "data:image/png;base64,AAAA"}),
        part("image_url", {"url": None}),
        part("image_url", 3),
        {"tools": [{"parameters": {"properties": {"image_url": {"type": "string"}, "url": {"type": "string"}}}}]},
        {"tools": [{"parameters": {"properties": {"a": {"default": {"image_url": "https://x"}, "type": "url"}}}}]},
        {"response_format": {"json_schema": {"schema": {"enum": [{"type": "url", "url": "http://a"}]}}}},
        {"messages": [{"content": [{"type": "tool_use", "input": {"image_url": "https://x"}}]}]},
        {"input": [{"annotations": [{"type": "url_citation", "url": "http://a"}]}]},
        nested(MAX_DEPTH),
    ],
    ids=lambda value: str(value)[:50],
)
def test_bodies_that_are_left_to_the_request_types(body: Any) -> None:
    check_body(body, LIMITS)


def test_media_are_fetched_if_domains_are_allowed_but_no_file_is_read() -> None:
    limits = Limits(fetches_media=True)
    check_body(part("image_url", {"url": "https://example.org/a.png"}), limits)
    with pytest.raises(InvalidRequest, match="file scheme"):
        check_body(part("image_url", {"url": "file:///a.png"}), limits)


def test_output_tokens_are_limited_only_with_the_option() -> None:
    check_body({"max_tokens": 10**9}, Limits())


def test_variables_of_known_templates_are_not_refused() -> None:
    assert inspect.signature(PythonBackend.apply_chat_template).parameters.keys() <= TEMPLATE_ARGUMENTS


@pytest.mark.parametrize(
    ("path", "body", "slots"),
    [
        (CHAT, {}, 1),
        (CHAT, {"n": 3}, 3),
        (CHAT, {"n": None}, 1),
        (CHAT, {"n": 0}, 1),
        (CHAT, {"n": -5}, 1),
        (CHAT, {"n": "x"}, 1),
        (CHAT, None, 1),
        (CHAT, [1, 2], 1),
        (TEXT, {"prompt": "a"}, 1),
        (TEXT, {"prompt": [1, 2, 3], "n": 2}, 2),
        (TEXT, {"prompt": ["a", "b"], "n": 2}, 4),
        (TEXT, {"prompt": [[1], [2], [3]]}, 3),
        (TEXT, {"prompt": []}, 1),
        (BATCH, {"messages": [[{}], [{}]], "n": 1}, 2),
        (BATCH, {"messages": "x"}, 1),
        ("/v1/messages", {"n": None}, 1),
        ("/v1/responses", {}, 1),
        ("/v1/messages/count_tokens", {"n": 3}, 1),
        ("/tokenize", {"prompt": ["a"]}, 1),
        ("/v1/detokenize", {"tokens": [1, 2]}, 1),
        ("/v1/requests/id/thinking", {}, 0),
        ("/v1/models", None, 0),
    ],
)
def test_a_slot_for_each_sequence_that_the_engine_will_run(path: str, body: Any, slots: int) -> None:
    assert count_slots(find_endpoint(path), body) == slots


def test_every_route_that_tokenizes_takes_a_slot() -> None:
    paths = {route.path for route in tokenization.router.routes if isinstance(route, APIRoute)}
    tokenizing = {endpoint.path for endpoint in ENDPOINTS if endpoint.tokenizes}
    assert paths | {"/v1/messages/count_tokens"} == tokenizing


HALF = "\\ud83d"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (f'{{"prompt": "x{HALF}"}}', "prompt"),
        (f'{{"messages": [{{"role": "user", "content": "{HALF}x"}}]}}', "messages.0.content"),
        ('{"messages": [{"content": [{"text": "\\uDE00"}]}]}', "messages.0.content.0.text"),
        (f'{{"metadata": {{"{HALF}": 1}}}}', "metadata"),
        (f'{{"{HALF}": 1}}', "body"),
    ],
)
def test_half_of_a_surrogate_pair_is_refused_where_it_is(text: str, field: str) -> None:
    """Clients that cut a text after a number of UTF-16 units send one; the tokenizer cannot encode it."""
    with pytest.raises(InvalidRequest, match="half of a surrogate pair") as caught:
        check_characters(json.loads(text), text.encode())
    assert caught.value.param == field


def test_half_a_pair_that_was_encoded_as_a_character_is_refused_too() -> None:
    raw = b'{"prompt": "x\xed\xa0\xbd"}'
    with pytest.raises(InvalidRequest, match="half of a surrogate pair"):
        check_characters(json.loads(raw), raw)


def test_whole_pairs_are_characters() -> None:
    raw = b'{"prompt": "\\ud83d\\ude00 \xf0\x9f\x98\x80 \xed\x95\x9c"}'
    check_characters(json.loads(raw), raw)
