"""The JSON body of a request."""

from typing import Any

import pytest

from tenuto.body import chat_body


def test_a_string_is_one_user_message_and_unset_fields_are_not_sent() -> None:
    assert chat_body("Why?") == {"messages": [{"role": "user", "content": "Why?"}]}


def test_every_field_is_sent_under_its_own_name() -> None:
    fields: dict[str, Any] = {
        "max_thinking_tokens": 0,
        "min_thinking_tokens": 0,
        "num_waits": 2,
        "wait_text": ["Wait", "Hmm"],
        "cap_text": "",
        "landing_tokens": 8,
        "loop_tokens": 9,
        "scope": "block",
        "answer_reserve_tokens": 9,
        "reasoning_effort": "low",
        "temperature": 0.0,
        "max_tokens": 64,
        "n": 3,
        "seed": 0,
        "top_p": 0.9,
    }
    messages = [{"role": "user", "content": "Why?"}]
    assert chat_body(messages, "some-model", **fields) == {"messages": messages, "model": "some-model", **fields}


def test_stream_is_not_a_parameter() -> None:
    with pytest.raises(TypeError, match="stream\\(\\)"):
        chat_body("Why?", stream=True)
