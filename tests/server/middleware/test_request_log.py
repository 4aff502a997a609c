"""The request log: each request has one outcome, which is counted and logged, however it ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import REGISTRY
from vllm.entrypoints.serve.utils.api_utils import with_cancellation

from tenuto_decoding.budget import ThinkingBudget
from tenuto_decoding.families import FAMILIES
from tenuto_decoding.plan import compile_plan
from tenuto_server.config.limits import Limits
from tenuto_server.context import report_stream_error
from tenuto_server.engine.accounting import CountedReply, hand_over
from tenuto_server.middleware.admission import AdmissionControl
from tenuto_server.middleware.request_log import RequestLog, RequestOutcome, RequestPhase, RequestRecord, current_record
from tenuto_server.state import ServerStage, ServerState
from tests.server.resolved import resolved

CHAT = "/v1/chat/completions"
MODEL, ADAPTER = "served", "adapter"


class Lines(logging.Handler):
    """The records logged so far."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[Callable[[], list[Any]]]:
    logger, handler = logging.getLogger("vllm.tenuto.requests"), Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: handler.records
    logger.setLevel(level)
    logger.removeHandler(handler)


@pytest.fixture
def state() -> ServerState:
    state = ServerState()
    state.stage = ServerStage.READY
    return state


@pytest.fixture
def app(state: ServerState) -> FastAPI:
    app = FastAPI()

    @app.post(CHAT)
    @with_cancellation
    async def answer(body: dict[str, Any], raw_request: Request) -> Any:
        status = body.get("status", 200)
        if status == "raise":
            raise RuntimeError
        if status == "wait":
            await asyncio.Event().wait()
        if body.get("stream"):
            return StreamingResponse(pieces(body.get("error", False)))
        return JSONResponse({"id": current_record().id, "header": raw_request.headers.get("x-request-id")}, status)

    async def pieces(error: bool) -> AsyncIterator[str]:
        yield "data: {}\n\n"
        if error:
            report_stream_error()
            yield "data: {}\n\n"

    @app.get("/readyz")
    async def ready() -> None:
        pass

    app.add_middleware(AdmissionControl, state=state, limits=Limits(body_bytes=1000))
    app.add_middleware(RequestLog, model_name=lambda name: {None: MODEL, ADAPTER: ADAPTER}.get(name, ""))
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
        yield http


def recorded(name: str, **labels: str) -> float:
    """The sum of a counter's samples that have these labels."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def count(outcome: str, endpoint: str = CHAT, **labels: str) -> float:
    return recorded("tenuto_requests_total", endpoint=endpoint, outcome=outcome, **labels)


def cancelled(phase: str) -> float:
    return recorded("tenuto_cancelled_requests_total", phase=phase)


def refused(reason: str, endpoint: str = CHAT) -> float:
    return recorded("tenuto_rejected_requests_total", reason=reason, endpoint=endpoint)


def total() -> float:
    return recorded("tenuto_requests_total")


@pytest.mark.parametrize(
    ("body", "outcome", "status"),
    [
        ({}, "ok", 200),
        ({"stream": True}, "ok", 200),
        ({"status": 400}, "invalid", 400),
        ({"status": 404}, "invalid", 404),
        ({"status": 401}, "unauthorized", 401),
        ({"status": 503}, "rejected", 503),
        ({"status": 500}, "error", 500),
        ({"status": "raise"}, "error", 500),
        ({"n": 9}, "invalid", 400),
        ({"padding": "x" * 1000}, "invalid", 413),
        ({"stream": True, "error": True}, "error", 200),
    ],
    ids=str,
)
async def test_each_request_has_one_outcome(
    client: httpx.AsyncClient, lines: Callable[[], list[Any]], body: dict[str, Any], outcome: str, status: int
) -> None:
    before, all_before = count(outcome), total()
    response = await client.post(CHAT, json=body)
    assert response.status_code == status
    assert (count(outcome), total()) == (before + 1, all_before + 1)
    [line] = lines()
    assert (line.outcome, line.status, line.path, line.method) == (outcome, status, CHAT, "POST")
    assert line.getMessage().startswith(f"POST {CHAT} {status} {outcome} ")
    assert line.levelno == (logging.ERROR if outcome == "error" else logging.INFO)
    assert line.seconds >= 0
    assert ("retry-after" in response.headers) == (status == 503)


@pytest.mark.parametrize(
    ("body", "label"),
    [({}, MODEL), ({"model": ADAPTER}, ADAPTER), ({"model": 'x"}\n'}, ""), ({"model": 7}, MODEL), ({"n": 9}, MODEL)],
    ids=str,
)
async def test_a_request_has_the_label_of_a_served_model(
    client: httpx.AsyncClient, body: dict[str, Any], label: str
) -> None:
    """Whatever clients write as a model's name, there are no more labels than models."""
    before, all_before = recorded("tenuto_requests_total", model_name=label), total()
    await client.post(CHAT, json=body)
    assert (recorded("tenuto_requests_total", model_name=label), total()) == (before + 1, all_before + 1)
    await client.get("/v1/models")
    assert recorded("tenuto_requests_total", model_name="", endpoint="other") >= 1


@pytest.mark.parametrize(
    ("body", "stage", "reason"),
    [
        ({"n": 9}, "ready", "invalid"),
        ({"status": 404}, "ready", "unknown_model"),
        ({"status": 400}, "ready", "invalid"),
        ({"status": 503}, "ready", "full"),
        ({"status": 429}, "ready", "full"),
        ({"padding": "x" * 1000}, "ready", "too_large"),
        ({}, "loading", "loading"),
        ({}, "draining", "draining"),
        ({}, "failed", "engine_dead"),
    ],
    ids=str,
)
async def test_each_refusal_has_one_reason(
    client: httpx.AsyncClient, state: ServerState, body: dict[str, Any], stage: str, reason: str
) -> None:
    state.stage = ServerStage(stage)
    before, all_before = refused(reason), recorded("tenuto_rejected_requests_total")
    await client.post(CHAT, json=body)
    assert (refused(reason), recorded("tenuto_rejected_requests_total")) == (before + 1, all_before + 1)


async def test_requests_that_were_not_refused_have_no_reason(client: httpx.AsyncClient) -> None:
    before = recorded("tenuto_rejected_requests_total")
    for body in ({}, {"status": 500}, {"stream": True, "error": True}):
        await client.post(CHAT, json=body)
    assert recorded("tenuto_rejected_requests_total") == before


async def test_a_stream_with_an_error_event_is_counted(client: httpx.AsyncClient) -> None:
    labels = {"model_name": MODEL, "endpoint": CHAT}
    before = recorded("tenuto_stream_errors_total", **labels)
    await client.post(CHAT, json={"stream": True, "error": True})
    await client.post(CHAT, json={"stream": True})
    await client.post(CHAT, json={"status": 500})
    assert recorded("tenuto_stream_errors_total", **labels) == before + 1


async def test_probes_are_not_logged(client: httpx.AsyncClient, lines: Callable[[], list[Any]]) -> None:
    before = total()
    assert (await client.get("/readyz")).status_code == 200
    assert lines() == []
    assert total() == before


async def test_other_paths_share_one_label(client: httpx.AsyncClient, lines: Callable[[], list[Any]]) -> None:
    before = count("invalid", "other")
    for index in range(3):
        await client.get(f"/v1/nowhere/{index}")
    assert count("invalid", "other") == before + 3
    assert len(lines()) == 3


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"X-Request-Id": "my-id.7"}, {}, "my-id.7"),
        ({"X-Request-Id": "mine"}, {"request_id": "other"}, "mine"),
        ({}, {"request_id": "of-the-body"}, "of-the-body"),
        ({}, {}, None),
        ({"X-Request-Id": "two words"}, {}, None),
        ({"X-Request-Id": "x" * 129}, {}, None),
        ({"X-Request-Id": ""}, {}, None),
        ({}, {"request_id": 7}, None),
    ],
)
async def test_a_request_has_one_id_everywhere(
    client: httpx.AsyncClient,
    lines: Callable[[], list[Any]],
    headers: dict[str, str],
    body: dict[str, Any],
    expected: str | None,
) -> None:
    """The client's if valid, else a generated one: in the response, in the log, in the code, and for the engine."""
    response = await client.post(CHAT, json=body, headers=headers)
    name = response.headers["x-request-id"]
    assert name == expected or (expected is None and len(name) == 32)
    assert response.json()["id"] == lines()[0].request_id == name
    assert response.json()["header"] == name  # which takes precedence over the body's


async def test_an_invalid_id_reaches_no_endpoint(client: httpx.AsyncClient, lines: Callable[[], list[Any]]) -> None:
    """vLLM would put it into the reply's id, and send that with every chunk."""
    for headers in ({}, {"X-Request-Id": "mine"}):
        response = await client.post(CHAT, json={"request_id": "x" * 500 + "\n"}, headers=headers)
        assert (response.status_code, response.json()["error"]["param"]) == (400, "request_id")
        assert lines()[-1].request_id == response.headers["x-request-id"]
        assert len(response.headers["x-request-id"]) <= 32


async def test_a_clients_text_stays_on_one_line(client: httpx.AsyncClient, lines: Callable[[], list[Any]]) -> None:
    await client.post(CHAT, json={"model": "a\nINFO forged line"})
    await client.get("/v1/%0aINFO%20forged")
    await client.get("/v1/" + "x" * 5000)
    assert all("\n" not in line.getMessage() for line in lines())
    assert len(lines()[2].getMessage()) < 400


async def test_concurrent_requests_keep_their_ids(client: httpx.AsyncClient) -> None:
    names = [f"request-{index}" for index in range(20)]
    responses = await asyncio.gather(*(client.post(CHAT, json={}, headers={"X-Request-Id": name}) for name in names))
    assert [response.json()["id"] for response in responses] == names
    assert current_record().id not in names


async def disconnect_after(app: FastAPI, message: dict[str, Any]) -> None:
    """Send this message and disconnect."""
    queue = [message]

    async def receive() -> dict[str, Any]:
        if queue:
            return queue.pop(0)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pass

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": headers, "query_string": b""}
    await app(scope, receive, send)


@pytest.mark.parametrize(
    ("message", "phase"),
    [
        ({"type": "http.request", "body": b"{", "more_body": True}, "body"),
        ({"type": "http.request", "body": b'{"status": "wait"}', "more_body": False}, "whole"),
        ({"type": "http.request", "body": b'{"status": "wait", "stream": true}', "more_body": False}, "waiting"),
    ],
)
async def test_a_client_that_disconnects_is_counted_by_phase(
    app: FastAPI, state: ServerState, lines: Callable[[], list[Any]], message: dict[str, Any], phase: str
) -> None:
    before, phase_before, all_before = count("cancelled"), cancelled(phase), total()
    await disconnect_after(app, message)
    assert (count("cancelled"), cancelled(phase), total()) == (before + 1, phase_before + 1, all_before + 1)
    assert (lines()[0].outcome, lines()[0].phase) == ("cancelled", phase)
    assert state.running == state.sequences == 0


async def test_a_reply_that_the_server_cuts_is_not_a_cancellation(
    app: FastAPI, state: ServerState, lines: Callable[[], list[Any]]
) -> None:
    state.cutting = True
    before, cancellations = count("cut"), recorded("tenuto_cancelled_requests_total")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as http:
        await http.post(CHAT, json={"stream": True})
    assert lines()[0].outcome == "cut"
    assert (count("cut"), recorded("tenuto_cancelled_requests_total")) == (before + 1, cancellations)


async def run(request_log: RequestLog) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    await request_log({"type": "http", "method": "POST", "path": CHAT, "headers": []}, receive, send)


async def test_the_line_has_the_budget_and_the_report(chatml: Any, lines: Callable[[], list[Any]]) -> None:
    budget = ThinkingBudget(max_thinking_tokens=50, min_thinking_tokens=3)
    plan = compile_plan(budget, FAMILIES["s1"], chatml)
    prompt = chatml.encode("hello there")

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        reply = CountedReply(resolved(chatml, budget, prompt), prompt, 2)
        hand_over(reply)
        current_record().sequences = 2
        for choice in reply.choices:
            choice.take([*plan.start.ids, 7, 8, 9, *plan.end.ids, 10])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    await run(RequestLog(endpoint))
    await run(RequestLog(endpoint, fields_in_message=False))
    line, other = lines()
    assert other.getMessage() == f"POST {CHAT} 200 ok"
    assert other.thinking == line.thinking
    assert [report["tokens"] for report in line.thinking] == [3, 3]
    assert (line.prompt_tokens, line.output_tokens) == (len(prompt), 2 * (4 + len(plan.start.ids) + len(plan.end.ids)))
    assert "thinking_tokens=3,3 thinking_waits=0,0 ended_by=model,model max_thinking_tokens=50,50" in line.getMessage()
    assert "hello" not in line.getMessage()
    assert not hasattr(line, "texts")


@pytest.mark.parametrize(
    ("ids", "phase"),
    [((), RequestPhase.WAITING), ((7, 8), RequestPhase.THINKING), ((7, "end", 9), RequestPhase.ANSWER)],
)
async def test_the_phase_follows_from_the_tokens(chatml: Any, ids: tuple[Any, ...], phase: RequestPhase) -> None:
    plan = compile_plan(None, FAMILIES["s1"], chatml)
    prompt = list(plan.start.ids)
    reply = CountedReply(resolved(chatml, None, prompt), prompt, 1)
    reply.choices[0].take([token for item in ids for token in (plan.end.ids if item == "end" else (item,))])
    record = RequestRecord("id", has_body=True, is_disconnected=True, is_stream=True)
    record.replies.append(reply)
    assert (record.outcome, record.phase) == (RequestOutcome.CANCELLED, phase)


async def test_a_stream_whose_first_event_comes_before_any_token_is_waiting(chatml: Any) -> None:
    """As that of Responses, which begins with an event of its own."""
    record = RequestRecord("id", has_body=True, is_disconnected=True, is_stream=True, first_byte=1.0)
    record.replies.append(CountedReply(resolved(chatml), [], 1))
    phases = [record.phase]
    record.replies.clear()
    phases.append(record.phase)
    assert phases == [RequestPhase.WAITING, RequestPhase.ANSWER], "nothing is known of what the last one generates"


async def test_texts_are_logged_only_with_the_option(chatml: Any, lines: Callable[[], list[Any]]) -> None:

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        app = FastAPI()
        app.state.engine_client = type("Engine", (), {"get_tokenizer": lambda self: chatml})()
        scope["app"] = app
        reply = CountedReply(resolved(chatml), chatml.encode("a secret"), 1)
        hand_over(reply)
        current_record().sequences = 1
        reply.choices[0].take(chatml.encode("an answer"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    await run(RequestLog(endpoint))
    await run(RequestLog(endpoint, log_texts=True))
    without, with_texts = lines()
    assert not any("secret" in str(value) or "answer" in str(value) for value in vars(without).values())
    assert "a secret" in with_texts.prompts[0]
    assert "an answer" in with_texts.texts[0]
