"""The spans that a server exports by OpenTelemetry's protocol say of each choice what its client has counted."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tenuto_server.engine.tracing import SpanAttribute
from tenuto_testing.servers import START_SECONDS, RunningServer
from tenuto_testing.trace_receiver import ReceivedSpan, TraceReceiver

QUESTION = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"
MODEL = "model-a"
#: Clocks of client and server are the same; an event may be read late.
LATE_SECONDS = 5.0


@dataclass
class Parent:
    """The span of a client, as its header names it."""

    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def headers(self) -> dict[str, str]:
        return {"traceparent": f"00-{self.trace_id}-{self.span_id}-01"}


@pytest.fixture
def server(fleet: tuple[RunningServer, RunningServer]) -> RunningServer:
    return fleet[0]


@pytest.fixture
def parent() -> Parent:
    return Parent()


def chat(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0, **more}


def post(server: RunningServer, parent: Parent, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = httpx.post(f"{server.url}{path}", json=body, headers=parent.headers, timeout=START_SECONDS)
    assert response.status_code == 200, response.text
    reply: dict[str, Any] = response.json()
    return reply


@contextmanager
def events(server: RunningServer, parent: Parent, body: dict[str, Any]) -> Iterator[Iterator[dict[str, Any]]]:
    url = f"{server.url}/v1/chat/completions"
    body = body | {"stream": True}
    with httpx.stream("POST", url, json=body, headers=parent.headers, timeout=START_SECONDS) as response:
        lines = (line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: {"))
        yield map(json.loads, lines)


def check_report(span: ReceivedSpan, thinking: dict[str, Any], output_tokens: int) -> None:
    """The span and the report in the reply agree."""
    found, cap = span.attributes, thinking["max_thinking_tokens"]
    assert found[SpanAttribute.THINKING_TOKENS] == thinking["tokens"]
    assert found[SpanAttribute.ANSWER_TOKENS] == output_tokens - thinking["tokens"]
    assert found["gen_ai.usage.completion_tokens"] == output_tokens
    assert found[SpanAttribute.WAITS] == thinking["waits"]
    assert found[SpanAttribute.ENDED_BY] == thinking["ended_by"]
    assert found.get(SpanAttribute.CAP) == cap
    assert found[SpanAttribute.FLOOR] == thinking["min_thinking_tokens"]
    assert found[SpanAttribute.OUTCOME] == "finished"
    assert found[SpanAttribute.MODEL] == MODEL
    assert not span.is_error


def check_parent(span: ReceivedSpan, parent: Parent) -> None:
    assert (span.trace_id, span.parent_id) == (parent.trace_id, parent.span_id)


@pytest.mark.parametrize(
    ("budget", "forced_by"),
    [
        ({"num_waits": 2}, None),
        ({"max_thinking_tokens": 20}, "cap"),
        ({"min_thinking_tokens": 70, "max_thinking_tokens": 80}, "cap"),
        ({"max_thinking_tokens": 0}, "cap"),
    ],
)
def test_a_reply_has_the_span_of_its_request(
    server: RunningServer, receiver: TraceReceiver, parent: Parent, budget: dict[str, Any], forced_by: str | None
) -> None:
    reply = post(server, parent, "/v1/chat/completions", chat(**budget))
    (span,) = receiver.wait_for(reply["id"])
    check_parent(span, parent)
    (choice,) = reply["choices"]
    check_report(span, choice["thinking"], reply["usage"]["completion_tokens"])
    assert span.attributes.get(SpanAttribute.FORCED_BY) == forced_by
    assert span.attributes["gen_ai.usage.prompt_tokens"] == reply["usage"]["prompt_tokens"]


def test_the_first_answer_token_comes_when_the_client_gets_it(
    server: RunningServer, receiver: TraceReceiver, parent: Parent
) -> None:
    began = time.monotonic()
    first_thinking = first_answer = thinking = reply_id = None
    output_tokens = 0
    with events(server, parent, chat(num_waits=1, return_token_ids=True)) as chunks:
        for chunk in chunks:
            reply_id, (choice,) = chunk["id"], chunk["choices"]
            output_tokens += len(choice.get("token_ids") or ())
            now = time.monotonic() - began
            if choice["delta"].get("reasoning"):
                first_thinking = first_thinking or now
            if choice["delta"].get("content"):
                first_answer = first_answer or now
            thinking = choice.get("thinking") or thinking
    assert reply_id is not None
    assert thinking is not None
    assert first_thinking is not None
    assert first_answer is not None
    (span,) = receiver.wait_for(reply_id)
    check_parent(span, parent)
    check_report(span, thinking, output_tokens)
    assert 0 < span.attributes[SpanAttribute.FIRST_THINKING] < span.attributes[SpanAttribute.FIRST_ANSWER]
    for name, seen in ((SpanAttribute.FIRST_THINKING, first_thinking), (SpanAttribute.FIRST_ANSWER, first_answer)):
        assert seen - LATE_SECONDS < span.attributes[name] < seen
    assert span.start + span.attributes[SpanAttribute.FIRST_ANSWER] < span.end + 0.1


@pytest.mark.parametrize("stream", [False, True])
def test_each_choice_has_a_span(server: RunningServer, receiver: TraceReceiver, parent: Parent, stream: bool) -> None:
    body = chat(n=2, temperature=1, seed=3, num_waits=1, return_token_ids=True)
    ids: dict[int, list[int]] = {0: [], 1: []}
    reports: dict[int, dict[str, Any]] = {}
    if stream:
        with events(server, parent, body) as chunks:
            parts = list(chunks)
    else:
        parts = [post(server, parent, "/v1/chat/completions", body)]
    for part in parts:
        for choice in part["choices"]:
            ids[choice["index"]] += choice.get("token_ids") or []
            reports |= {choice["index"]: choice["thinking"]} if choice["finish_reason"] else {}
    spans = receiver.wait_for(parts[0]["id"], 2)
    assert [span.attributes[SpanAttribute.CHOICE] for span in spans] == [0, 1]
    for index, span in enumerate(spans):
        check_parent(span, parent)
        check_report(span, reports[index], len(ids[index]))


def test_several_prompts_count_their_choices_on(server: RunningServer, receiver: TraceReceiver, parent: Parent) -> None:
    prompts = [f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"] * 2
    reply = post(server, parent, "/v1/completions", {"model": MODEL, "prompt": prompts, "n": 2, "num_waits": 1})
    spans = receiver.wait_for(reply["id"], 4)
    assert [span.attributes[SpanAttribute.CHOICE] for span in spans] == [0, 1, 2, 3]
    thinking = [choice["thinking"]["tokens"] for choice in reply["choices"]]
    assert [span.attributes[SpanAttribute.THINKING_TOKENS] for span in spans] == thinking


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": QUESTION}),
        ("/v1/messages", {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 400}),
    ],
)
def test_other_apis_have_spans(
    server: RunningServer, receiver: TraceReceiver, parent: Parent, path: str, body: dict[str, Any]
) -> None:
    reply = post(server, parent, path, {"model": MODEL, "num_waits": 1, **body})
    (span,) = receiver.wait_for(reply["id"].partition("_")[2] or reply["id"])
    check_parent(span, parent)
    assert span.attributes[SpanAttribute.THINKING_TOKENS] > 0
    assert span.attributes[SpanAttribute.WAITS] == 1


def test_a_client_that_disconnects_leaves_a_span(
    server: RunningServer, receiver: TraceReceiver, parent: Parent
) -> None:
    got = 0
    body = chat(min_thinking_tokens=2000, max_tokens=2500, n=2, temperature=1, return_token_ids=True)
    with events(server, parent, body) as chunks:
        for chunk in chunks:
            got += sum(len(choice.get("token_ids") or ()) for choice in chunk["choices"])
            if got >= 20:
                break
    spans = receiver.wait_for(chunk["id"], 2)
    for span in spans:
        check_parent(span, parent)
        assert span.attributes[SpanAttribute.OUTCOME] == "cancelled"
        assert span.attributes[SpanAttribute.ENDED_BY] == "cancelled"
        assert span.attributes[SpanAttribute.FLOOR] == 2000
        assert span.attributes["gen_ai.request.n"] == 2
        assert SpanAttribute.FIRST_ANSWER not in span.attributes
        assert 0 < span.attributes["gen_ai.latency.e2e"] <= span.end - span.start + 0.1
    tokens = sum(span.attributes[SpanAttribute.THINKING_TOKENS] for span in spans)
    assert 15 <= tokens < 4000


def test_a_request_without_a_parent_begins_a_trace(server: RunningServer, receiver: TraceReceiver) -> None:
    reply = server.chat(**chat()).json()
    (span,) = receiver.wait_for(reply["id"])
    assert span.parent_id == ""
    check_report(span, reply["choices"][0]["thinking"], reply["usage"]["completion_tokens"])


def test_a_steered_reply_has_the_bounds_in_force(
    server: RunningServer, receiver: TraceReceiver, parent: Parent
) -> None:
    got, is_steered, report = 0, False, None
    body = chat(min_thinking_tokens=2000, max_tokens=2500, return_token_ids=True)
    with events(server, parent, body) as chunks:
        for chunk in chunks:
            (choice,) = chunk["choices"]
            got += len(choice.get("token_ids") or ())
            report = choice.get("thinking") or report
            if got >= 20 and not is_steered:
                is_steered = server.post(f"/v1/requests/{chunk['id']}/thinking", action="answer_now").is_success
    assert is_steered
    assert report is not None
    (span,) = receiver.wait_for(chunk["id"])
    check_report(span, report, got)
    assert span.attributes[SpanAttribute.FORCED_BY] == "answer_now"
    assert span.attributes[SpanAttribute.STEERED] == report["steered"] == 1
