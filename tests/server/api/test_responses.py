"""Streams of the Responses API that go wrong under way."""

import json
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
from openai.types.responses import ResponseTextDeltaEvent
from vllm.exceptions import VLLMValidationError
from vllm.v1.engine.exceptions import EngineDeadError

from tenuto_server.api.responses import ResponsesRequest, tell_response_events
from tenuto_server.api.serving import CheckedResponses
from tenuto_server.api.thinking_reports import Account


async def test_a_stream_that_fails_ends_with_an_error_event_of_the_next_number() -> None:
    """vLLM lets the connection break off."""

    async def events() -> AsyncGenerator[Any, None]:
        yield ResponseTextDeltaEvent(
            type="response.output_text.delta",
            sequence_number=7,
            delta="a",
            content_index=0,
            item_id="m",
            logprobs=[],
            output_index=0,
        )
        raise EngineDeadError

    first, last = [event async for event in tell_response_events(events(), Account())]
    assert first.startswith("event: response.output_text.delta\ndata: {")
    kind, data = last.strip().split("\n")
    assert kind == "event: error"
    said = json.loads(data.removeprefix("data: "))
    assert said.pop("message")
    assert said == {"type": "error", "code": "InternalServerError", "param": None, "sequence_number": 8}


def test_the_engine_is_asked_before_the_stream_begins() -> None:
    def check(prompt: object, params: object) -> None:
        raise VLLMValidationError(f"{prompt} {params}")

    serving = CheckedResponses.__new__(CheckedResponses)
    serving.engine_client = SimpleNamespace(check=check)
    with pytest.raises(VLLMValidationError, match="prompt params"):
        serving._generate_with_builtin_tools("id", "prompt", "params", None)


def test_the_caller_decides_whether_control_tokens_are_shown() -> None:
    assert not ResponsesRequest(input="x").shows_special_tokens
    assert ResponsesRequest(input="x", skip_special_tokens=False).shows_special_tokens
