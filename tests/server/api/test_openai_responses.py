"""Streams of the Responses API that fail after they began, and errors that are found before."""

import json
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
from openai.types.responses import ResponseTextDeltaEvent
from vllm.exceptions import VLLMValidationError
from vllm.v1.engine.exceptions import EngineDeadError

from tenuto_server.api.openai_responses import ResponsesRequest, add_reports_to_events
from tenuto_server.api.thinking_reports import CountedReplies
from tenuto_server.context import CurrentRequest, using_request
from tenuto_server.vllm_compat import CheckedResponses


async def test_a_stream_that_fails_ends_with_an_error_event_of_the_next_number() -> None:
    """vLLM drops the connection."""

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

    request = CurrentRequest()
    with using_request(request):
        first, last = [event async for event in add_reports_to_events(events(), CountedReplies())]
    assert request.stream_failed
    assert first.startswith("event: response.output_text.delta\ndata: {")
    kind, data = last.strip().split("\n")
    assert kind == "event: error"
    info = json.loads(data.removeprefix("data: "))
    assert info.pop("message")
    assert info == {"type": "error", "code": "InternalServerError", "param": None, "sequence_number": 8}


def test_the_engine_checks_a_request_before_its_stream_begins() -> None:
    def check(prompt: object, params: object, request_id: object) -> None:
        raise VLLMValidationError(f"{prompt} {params} {request_id}")

    serving = CheckedResponses.__new__(CheckedResponses)
    serving.engine_client = SimpleNamespace(check=check)
    with pytest.raises(VLLMValidationError, match="prompt params id"):
        serving._generate_with_builtin_tools("id", "prompt", "params", None)


def test_the_client_decides_whether_special_tokens_are_kept() -> None:
    assert not ResponsesRequest(input="x").keeps_special_tokens
    assert ResponsesRequest(input="x", skip_special_tokens=False).keeps_special_tokens
