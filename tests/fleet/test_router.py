"""Two servers behind vllm-router, started as docs/scaling.md says: what reaches a replica, and what comes back."""

import json
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

import tenuto
from tenuto_evaluation.launch import LaunchedServer
from tenuto_testing.router import documented, routing
from tenuto_testing.servers import NO_TLS, RunningServer
from tests.fleet.conftest import MODEL_NAMES, SHARED_NAME
from tests.fleet.routed_load import (
    ANTHROPIC,
    BILL,
    CHAT,
    COMPLETIONS,
    PROMPTS,
    RESPONSES,
    RoutedRequest,
    home,
    in_background,
    wait_until,
)

MESSAGES = PROMPTS[CHAT]["messages"]

#: Every field of a budget.
BUDGET = {
    "max_thinking_tokens": 60,
    "min_thinking_tokens": 30,
    "num_waits": 1,
    "wait_text": ["Hmm", "Wait"],
    "cap_text": " So:",
    "landing_tokens": 2,
    "loop_tokens": 96,
    "scope": "block",
    "answer_reserve_tokens": 32,
}
#: The router gives these paths their types, repeats their requests, and passes headers on.
TYPED = (CHAT, COMPLETIONS)
#: Fields that differ between two replies with the same tokens, or between the replicas.
_OF_ONE_REPLY = ("id", "created", "created_at", "completed_at", "item_id", "signature", "model")


def body(path: str, **more: Any) -> dict[str, Any]:
    limit = {"max_tokens": 300} if path in (COMPLETIONS, ANTHROPIC) else {}
    return {"model": SHARED_NAME, "temperature": 0, **limit, **PROMPTS[path], **more}


def without_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [without_ids(item) for item in value]
    if isinstance(value, dict):
        return {name: without_ids(item) for name, item in value.items() if name not in _OF_ONE_REPLY}
    return value


def report(path: str, reply: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        RESPONSES: lambda: reply["thinking"][0],
        ANTHROPIC: lambda: reply["thinking_report"],
    }.get(path, lambda: reply["choices"][0]["thinking"])()
    return found


def session(name: object) -> dict[str, str]:
    return {"X-Session-ID": str(name)}


@pytest.mark.parametrize("path", PROMPTS)
def test_all_fields_of_a_budget_pass(fleet: tuple[RunningServer, ...], routed: httpx.Client, path: str) -> None:
    through = routed.post(path, json=body(path, **BUDGET), headers=session(path)).raise_for_status().json()
    direct = fleet[0].post(path, **body(path, **BUDGET)).json()
    assert without_ids(through) == without_ids(direct)
    found = report(path, through)
    assert found["tokens"] <= found["max_thinking_tokens"] == 60
    assert found["waits"] >= 1
    assert set(found["set_by"].values()) == {"request"}


@pytest.mark.parametrize("path", TYPED)
def test_every_choice_keeps_its_budget(routed: httpx.Client, path: str) -> None:
    sent = body(path, n=3, max_thinking_tokens=25, min_thinking_tokens=10) | {"temperature": 1, "seed": 5}
    choices = routed.post(path, json=sent, headers=session(path)).raise_for_status().json()["choices"]
    assert len(choices) == 3
    assert all(10 <= choice["thinking"]["tokens"] <= 25 for choice in choices)


def test_the_cap_of_other_clients_passes(routed: httpx.Client) -> None:
    sent = body(ANTHROPIC, thinking={"type": "enabled", "budget_tokens": 20}, min_thinking_tokens=20)
    found = report(ANTHROPIC, routed.post(ANTHROPIC, json=sent, headers=session(1)).raise_for_status().json())
    assert (found["tokens"], found["set_by"]["max_thinking_tokens"]) == (20, "thinking.budget_tokens")


def data(lines: list[str]) -> list[dict[str, Any]]:
    texts = (line.removeprefix("data: ") for line in lines if line.startswith("data: "))
    return [json.loads(text) for text in texts if text != "[DONE]"]


def chat_parts(events: list[dict[str, Any]]) -> tuple[str, str, dict[str, Any]]:
    choices = [choice for event in events for choice in event["choices"]]
    deltas = [choice["delta"] for choice in choices]
    texts = ("".join(delta.get(name) or "" for delta in deltas) for name in ("reasoning", "content"))
    return next(texts), next(texts), choices[-1]["thinking"]


def completion_parts(events: list[dict[str, Any]]) -> tuple[str, str, dict[str, Any]]:
    choices = [choice for event in events for choice in event["choices"]]
    return "", "".join(choice["text"] for choice in choices), choices[-1]["thinking"]


def response_parts(events: list[dict[str, Any]]) -> tuple[str, str, dict[str, Any]]:
    kinds = ("response.reasoning_text.delta", "response.output_text.delta")
    texts = ["".join(event["delta"] for event in events if event["type"] == kind) for kind in kinds]
    return texts[0], texts[1], events[-1]["response"]["thinking"][0]


def message_parts(events: list[dict[str, Any]]) -> tuple[str, str, dict[str, Any]]:
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    texts = ["".join(delta.get(name) or "" for delta in deltas) for name in ("thinking", "text")]
    ends = [event for event in events if event["type"] == "message_delta"]
    return texts[0], texts[1], ends[-1]["thinking_report"]


def whole_parts(path: str, reply: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    if path == CHAT:
        message = reply["choices"][0]["message"]
        texts = message["reasoning"], message["content"]
    elif path == COMPLETIONS:
        texts = "", reply["choices"][0]["text"]
    else:
        items = reply["output"] if path == RESPONSES else reply["content"]
        said = [
            item["content"][0]["text"] if path == RESPONSES else item.get("thinking", item.get("text"))
            for item in items
        ]
        texts = said[0], said[1]
    return *texts, report(path, reply)


STREAMED: dict[str, Callable[[list[dict[str, Any]]], tuple[str, str, dict[str, Any]]]] = {
    CHAT: chat_parts,
    COMPLETIONS: completion_parts,
    RESPONSES: response_parts,
    ANTHROPIC: message_parts,
}


@pytest.mark.parametrize("path", PROMPTS)
def test_a_stream_is_whole(fleet: tuple[RunningServer, ...], routed: httpx.Client, path: str) -> None:
    sent = body(path, max_thinking_tokens=60, num_waits=1)
    with routed.stream("POST", path, json={**sent, "stream": True}, headers=session(path)) as response:
        lines = list(response.raise_for_status().iter_lines())
    assert response.headers["content-type"].startswith("text/event-stream")
    assert STREAMED[path](data(lines)) == whole_parts(path, fleet[0].post(path, **sent).json())
    assert ("data: [DONE]" in lines) == (path in TYPED)


def test_keep_alives_pass(routed: httpx.Client) -> None:
    sent = body(CHAT, stream=True, include_reasoning=False, min_thinking_tokens=1500)
    with routed.stream("POST", CHAT, json=sent, headers=session("quiet")) as response:
        comment = next(line for line in response.raise_for_status().iter_lines() if line.startswith(":"))
    assert comment == ": keep-alive"


@pytest.mark.parametrize("path", PROMPTS)
@pytest.mark.parametrize(
    ("wrong", "status", "field"),
    [
        ({"max_thinking_tokens": -2}, 400, "max_thinking_tokens"),
        ({"max_thinking_token": 5}, 400, "max_thinking_token"),
        ({"model": "unknown"}, 404, "model"),
    ],
)
def test_errors_pass(
    fleet: tuple[RunningServer, ...], routed: httpx.Client, path: str, wrong: dict[str, Any], status: int, field: str
) -> None:
    through = routed.post(path, json=body(path, **wrong), headers=session(path))
    direct = fleet[("model-a", "model-b").index(home(routed, session(path)))].post(path, **body(path, **wrong))
    assert through.status_code == direct.status_code == status
    assert through.json() == direct.json()
    assert through.json()["error"]["param"] == field


def test_what_the_router_cannot_read_is_its_own_error(routed: httpx.Client) -> None:
    """A text that names the field, where a server has an error in the shape of the API."""
    response = routed.post(CHAT, json=body(CHAT, temperature="hot"))
    assert (response.status_code, response.headers["content-type"]) == (422, "text/plain; charset=utf-8")
    assert "temperature" in response.text


def is_logged(fleet: tuple[RunningServer, ...], request_id: str) -> bool:
    return any(f"request_id={request_id} " in server.log.read_text() for server in fleet)


def test_the_request_id_passes_where_the_router_passes_headers(
    fleet: tuple[RunningServer, ...], routed: httpx.Client
) -> None:
    for path in PROMPTS:
        name = uuid.uuid4().hex
        response = routed.post(path, json=body(path, max_thinking_tokens=0), headers={"X-Request-Id": name})
        assert response.raise_for_status().headers["x-request-id"] == name or path == ANTHROPIC
        assert (name in response.json()["id"]) == (path in TYPED)
        if path in TYPED:
            wait_until(partial(is_logged, fleet, name), seconds=10)
        else:
            assert not is_logged(fleet, name)


def test_sessions_are_spread_and_requests_without_one_are_not(routed: httpx.Client) -> None:
    sessions = Counter(home(routed, session(number)) for number in range(12))
    requests = Counter(home(routed, {"X-Request-Id": uuid.uuid4().hex}) for _ in range(12))
    assert set(sessions) == set(requests) == set(MODEL_NAMES)
    assert len({home(routed, {}) for _ in range(6)}) == 1


def steered(routed: httpx.Client, headers: dict[str, str], reply_id: str) -> httpx.Response:
    return routed.post(f"/v1/requests/{reply_id}/thinking", json={"action": "answer_now"}, headers=headers)


@pytest.mark.parametrize("replica", MODEL_NAMES)
@pytest.mark.parametrize("header", ["X-Session-ID", "X-Request-Id"])
def test_steering_reaches_the_replica_by_the_header_of_the_request(
    routed: httpx.Client, header: str, replica: str
) -> None:
    ids = ({header: uuid.uuid4().hex} for _ in range(100))
    headers = next(candidate for candidate in ids if home(routed, candidate) == replica)
    sent = body(CHAT, stream=True, min_thinking_tokens=3000)
    with routed.stream("POST", CHAT, json=sent, headers=headers) as response:
        lines = response.raise_for_status().iter_lines()
        reply_id = json.loads(next(line for line in lines if line).removeprefix("data: "))["id"]
        answer = steered(routed, headers, reply_id)
        assert answer.status_code == 200, answer.text
        found = chat_parts(data(list(lines)))[2]
    assert (found["steered"], found["set_by"]["max_thinking_tokens"]) == (1, "steering")
    assert found["tokens"] < 3000


@pytest.mark.parametrize(("path", "is_stream"), [(CHAT, True), (ANTHROPIC, False)])
def test_a_client_that_disconnects_ends_its_request(
    fleet: tuple[RunningServer, ...], routed: httpx.Client, path: str, is_stream: bool
) -> None:
    def cancelled() -> float:
        lines = [line for server in fleet for line in server.get("/metrics").text.splitlines()]
        return sum(float(line.split()[-1]) for line in lines if line.startswith("tenuto_cancelled_requests_total{"))

    before = cancelled()
    sent = body(path, stream=is_stream, min_thinking_tokens=3000) | {"max_tokens": 3900}
    if is_stream:
        with routed.stream("POST", path, json=sent, headers=session("gone")) as response:
            next(response.iter_bytes())
    else:
        with pytest.raises(httpx.ReadTimeout):
            routed.post(path, json=sent, headers=session("gone"), timeout=1)
    wait_until(lambda: cancelled() == before + 1, seconds=10)


def test_a_router_that_ends_finishes_its_streams(fleet: tuple[RunningServer, ...], tmp_path: Path) -> None:
    request = RoutedRequest(CHAT, "last", 300, is_stream=True)
    with routing(tmp_path / "log", *(server.url for server in fleet)) as router:
        threads = in_background([request], router.url)
        wait_until(lambda: request.has_begun)
        router.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert request.is_whole
        router.process.wait(10)


def test_the_commands_that_the_page_shows_steer_a_reply(router: LaunchedServer, tmp_path: Path) -> None:
    commands = documented("answer_now", "bill-7", port_8080=router.url)
    printed = subprocess.run(["bash", "-c", commands], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed)["choices"][0]["applied"]
    assert report(CHAT, json.loads((tmp_path / "reply.json").read_text()))["steered"] == 1


def test_openais_client_keeps_to_a_replica_by_the_headers_that_the_page_shows(router: LaunchedServer) -> None:
    found: dict[str, Any] = {"OpenAI": OpenAI, "session": "openai"}
    exec(documented("OpenAI(", port_8080=router.url), found)
    with found["client"] as client:
        create = client.chat.completions.create
        replies = [create(model=SHARED_NAME, messages=MESSAGES, max_tokens=1, temperature=0) for _ in range(3)]
    assert len({reply.model for reply in replies}) == 1


def test_the_client_spreads_its_requests_and_steers_without_a_session(router: LaunchedServer) -> None:
    with tenuto.Client(router.url, timeout=120) as client:
        chosen = {client.chat(BILL, max_thinking_tokens=0, max_tokens=1).raw["model"] for _ in range(12)}
        for event in client.stream(BILL, min_thinking_tokens=3000):
            if isinstance(event, tenuto.Started):
                assert client.answer_now(event.id).choices[0].applied
            if isinstance(event, tenuto.ChoiceFinished):
                assert event.thinking is not None
                assert event.thinking.tokens < 3000
    assert chosen == set(MODEL_NAMES)


def test_new_requests_avoid_the_replica_that_has_thinking_left(
    fleet: tuple[RunningServer, RunningServer], tmp_path: Path
) -> None:
    """With the policy that asks each replica for its load once a second."""
    options = ("--policy", "power_of_two", "--worker-startup-check-interval", "1")
    busy, idle = fleet
    with (
        routing(tmp_path / "log", busy.url, idle.url, options=options) as router,
        httpx.Client(base_url=router.url, timeout=120, verify=NO_TLS) as routed,
    ):
        sent = body(CHAT, stream=True, min_thinking_tokens=3000, max_thinking_tokens=3000)
        with httpx.stream("POST", busy.url + CHAT, json=sent, timeout=120, verify=NO_TLS) as response:
            assert response.raise_for_status()
            load = busy.get("/get_load").json()["load"]
            assert 0 < load <= 3000 + busy.gauge("tenuto_sequences")
            assert idle.get("/get_load").json() == {"load": 0}
            time.sleep(1.5)
            chosen = [home(routed, {}) for _ in range(8)]
            assert busy.get("/get_load").json()["load"] > 0, "the long reply ended before the short ones"
    assert chosen == [MODEL_NAMES[1]] * 8


def test_the_probes_of_the_router_are_not_logged(fleet: tuple[RunningServer, ...]) -> None:
    sizes = [server.log.stat().st_size for server in fleet]
    time.sleep(2.5)
    assert [server.log.stat().st_size for server in fleet] == sizes
