"""Running replies are steered by the id of their response, and loops are closed: against an independent count."""

import json
import random
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenuto_testing.collected_reply import CollectedReply, check_reports
from tenuto_testing.reply_counter import ReplyCounter
from tenuto_testing.servers import MODEL, START_SECONDS, RunningServer

PAGE = (Path(__file__).resolve().parents[2] / "docs/steering.md").read_text()
NOW = {"action": "answer_now"}


def until(tokens: int) -> dict[str, Any]:
    return {"action": "think_until", "min_thinking_tokens": tokens}


def ask(question: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": question}], "temperature": 0, **more}


def steer(server: RunningServer, reply_id: str, **body: Any) -> httpx.Response:
    return server.post(f"/v1/requests/{reply_id}/thinking", **body)


@contextmanager
def streaming(server: RunningServer, path: str, body: dict[str, Any]) -> Iterator[Iterator[dict[str, Any]]]:
    body |= {"stream": True, "stream_options": {"include_usage": True}, "return_token_ids": True}
    with httpx.stream("POST", server.url + path, json=body, timeout=START_SECONDS) as response:
        assert response.status_code == 200, response.read()
        data = (line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: "))
        yield (json.loads(text) for text in data if text != "[DONE]")


def steered_reply(
    server: RunningServer, body: dict[str, Any], *steering: tuple[int, dict[str, Any]], path: str = "chat/completions"
) -> CollectedReply:
    """Stream a reply, and steer it after the given number of ids of its first choice.

    On a busy machine a reply may end before its steering request arrives: then it is repeated.
    """
    for _ in range(5):
        result = _steered_once(server, dict(body), list(steering), path)
        if result is not None:
            return result
    raise AssertionError("the steering requests always came too late")


def _steered_once(
    server: RunningServer, body: dict[str, Any], waiting: list[tuple[int, dict[str, Any]]], path: str
) -> CollectedReply | None:
    result = CollectedReply()
    with streaming(server, f"/v1/{path}", body) as chunks:
        for chunk in chunks:
            result.take(chunk)
            while waiting and len(result.ids.get(0, [])) >= waiting[0][0]:
                response = steer(server, result.id, **waiting.pop(0)[1])
                if response.status_code == 404:
                    return None
                assert response.status_code == 200, response.text
                outcome = response.json()
                if not all(choice["applied"] for choice in outcome["choices"]):
                    assert {choice["phase"] for choice in outcome["choices"]} & {"closing", "answer", "finished"}
                    return None
                result.steered.append(outcome)
    assert not waiting
    return result


@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_answer_now_in_mid_thinking(
    server: RunningServer, counter: ReplyCounter, questions: list[str], path: str
) -> None:
    body = ask(questions[0], min_thinking_tokens=1500, max_tokens=2000)
    if path == "completions":
        (message,) = body.pop("messages")
        body["prompt"] = f"<|im_start|>user\n{message['content']}<|im_end|>\n<|im_start|>assistant\n"
    result = steered_reply(server, body, (20, NOW), path=path)
    check_reports(counter, result)
    (outcome,) = result.steered
    (choice,) = outcome.pop("choices")
    assert outcome == {
        "id": result.id,
        "object": "thinking.steering",
        "action": "answer_now",
        "min_thinking_tokens": None,
    }
    tokens = choice["tokens"]
    assert choice == {"index": 0, "applied": True, "phase": "thinking", "tokens": tokens}
    assert 15 < tokens < 1500
    assert result.thinking[0] | {"waits": 0} == {
        "tokens": tokens,
        "waits": 0,
        "ended_by": "cap",
        "max_thinking_tokens": tokens,
        "min_thinking_tokens": 0,
        "set_by": {"max_thinking_tokens": "steering", "min_thinking_tokens": "steering"},
        "steered": 1,
    }
    assert "Final Answer:" in result.texts[0]
    assert len(result.ids[0]) < 1900


@pytest.mark.parametrize(
    ("path", "body"),
    [("responses", {"max_output_tokens": 450}), ("messages", {"max_tokens": 450})],
    ids=["responses", "messages"],
)
def test_streams_of_other_apis_are_steered_by_the_id_in_their_first_event(
    server: RunningServer, questions: list[str], path: str, body: dict[str, Any]
) -> None:
    request = ask(questions[0], min_thinking_tokens=350, stream=True)
    (message,) = request["messages"]
    own = {"input": message["content"]} if path == "responses" else {"messages": [message]}
    request = {name: value for name, value in request.items() if name != "messages"} | body | own
    reply_id, deltas, outcome, report = "", 0, None, None
    with httpx.stream("POST", f"{server.url}/v1/{path}", json=request, timeout=START_SECONDS) as response:
        for line in response.iter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            part = event.get("response") or event.get("message") or {}
            reply_id, deltas = part.get("id", reply_id), deltas + event["type"].endswith("delta")
            report = part.get("thinking") or event.get("thinking_report") or report
            if deltas == 15 and outcome is None:
                outcome = steer(server, reply_id, **NOW).json()
    assert outcome is not None
    assert outcome["choices"][0]["applied"] is True
    assert isinstance(report, dict | list)
    thinking = report[0] if isinstance(report, list) else report
    assert (thinking["ended_by"], thinking["steered"]) == ("cap", 1)
    assert thinking["tokens"] == outcome["choices"][0]["tokens"]


def test_think_until_holds_the_thinking_open(
    server: RunningServer, counter: ReplyCounter, questions: list[str]
) -> None:
    result = steered_reply(
        server, ask(questions[0], num_waits=8, max_thinking_tokens="unlimited", max_tokens=450), (3, until(230))
    )
    check_reports(counter, result)
    assert result.steered[0]["choices"][0]["applied"] is True
    thinking = result.thinking[0]
    assert thinking["tokens"] >= 230
    assert (thinking["ended_by"], thinking["min_thinking_tokens"], thinking["max_thinking_tokens"]) == (
        "model",
        230,
        None,
    )


def test_think_until_raises_a_lower_cap_and_answer_now_comes_after_it(
    server: RunningServer, counter: ReplyCounter, questions: list[str]
) -> None:
    body = ask(questions[0], num_waits=20, max_thinking_tokens=150, max_tokens=450)
    raised = steered_reply(server, dict(body), (3, until(200)))
    check_reports(counter, raised)
    assert (raised.thinking[0]["tokens"], raised.thinking[0]["max_thinking_tokens"]) == (200, 200)
    assert raised.thinking[0]["ended_by"] == "cap"
    both = steered_reply(server, dict(body), (3, until(400)), (20, NOW))
    check_reports(counter, both)
    assert both.thinking[0]["steered"] == 2
    assert both.thinking[0]["tokens"] < 400


def test_stop_strings_do_not_match_forced_text(server: RunningServer, questions: list[str]) -> None:
    body = ask(questions[0], min_thinking_tokens=1500, max_tokens=2000, stop=["Final", "Answer"])
    result = steered_reply(server, body, (20, NOW))
    assert result.texts[0].strip().startswith("Final Answer: ")
    assert result.thinking[0]["ended_by"] == "cap"


def test_every_choice_is_steered_and_reported(
    server: RunningServer, counter: ReplyCounter, questions: list[str]
) -> None:
    body = ask(questions[1], n=3, min_thinking_tokens=1500, max_tokens=2000) | {"temperature": 1.0, "seed": 3}
    result = steered_reply(server, body, (20, NOW))
    check_reports(counter, result)
    outcome = result.steered[0]["choices"]
    assert [choice["index"] for choice in outcome] == [0, 1, 2]
    assert all(choice["applied"] for choice in outcome)
    assert [result.thinking[index]["tokens"] for index in range(3)] == [choice["tokens"] for choice in outcome]


def test_a_reply_without_stream_is_steered_by_the_clients_request_id(
    server: RunningServer, counter: ReplyCounter, questions: list[str]
) -> None:
    other = uuid.uuid4().hex
    name = f"{other}_7"  # as if it were a part of another's
    body = ask(questions[0], min_thinking_tokens=1500, max_tokens=2000, return_token_ids=True)
    with ThreadPoolExecutor() as pool:
        reply = pool.submit(
            httpx.post,
            f"{server.url}/v1/chat/completions",
            json=body,
            headers={"X-Request-Id": name},
            timeout=START_SECONDS,
        )
        until_found(lambda: steer(server, f"chatcmpl-{name}", **until(300)))
        assert steer(server, f"chatcmpl-{other}", **NOW).status_code == 404
        outcome = steer(server, f"chatcmpl-{name}", **NOW).json()
        answer = reply.result().json()
    assert answer["id"] == f"chatcmpl-{name}"
    assert [(choice["index"], choice["applied"]) for choice in outcome["choices"]] == [(0, True)]
    choice = answer["choices"][0]
    assert choice["thinking"]["tokens"] == outcome["choices"][0]["tokens"]
    assert choice["thinking"]["tokens"] == counter.count(choice["token_ids"], choice["thinking"]["tokens"])
    assert steer(server, f"chatcmpl-{name}", **NOW).status_code == 404


def until_found(attempt: Callable[[], httpx.Response]) -> dict[str, Any]:
    """Wait until the server has started the reply; before that, there is none to steer."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        response = attempt()
        if response.status_code == 200:
            return response.json()  # type: ignore[no-any-return]
        assert response.status_code == 404
        time.sleep(0.01)
    raise AssertionError("never found")


def test_a_reply_whose_client_has_disconnected_is_not_running(server: RunningServer, questions: list[str]) -> None:
    with streaming(server, "/v1/chat/completions", ask(questions[0], min_thinking_tokens=400)) as chunks:
        reply_id = next(chunks)["id"]
    server.wait_until(lambda: steer(server, reply_id, **until(10)).status_code == 404, 30)


def test_an_unknown_or_finished_reply_is_a_404(server: RunningServer, questions: list[str]) -> None:
    ended = server.chat(**ask(questions[0], max_thinking_tokens=10)).json()["id"]
    for reply_id in (ended, "chatcmpl-never", "a/b", "%00"):
        response = steer(server, reply_id, **NOW)
        assert response.status_code == 404
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": "stop"},
        {"action": "think_until"},
        {"action": "think_until", "min_thinking_tokens": -1},
        {"action": "think_until", "min_thinking_tokens": 1.5},
        {"action": "think_until", "min_thinking_tokens": True},
        {"action": "think_until", "min_thinking_tokens": 2**40},
        {"action": "think_until", "min_thinking_token": 5},
        {"action": "answer_now", "min_thinking_tokens": 5},
        {"action": "answer_now", "when": "now"},
    ],
    ids=str,
)
def test_an_invalid_steering_request_is_a_400(server: RunningServer, body: dict[str, Any]) -> None:
    response = steer(server, "chatcmpl-never", **body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"]


def test_an_impossible_steering_request_is_refused_with_the_reason(server: RunningServer, questions: list[str]) -> None:
    with streaming(
        server, "/v1/chat/completions", ask(questions[0], min_thinking_tokens=300, max_tokens=400)
    ) as chunks:
        response = steer(server, next(chunks)["id"], **until(399))
        assert response.status_code == 400
        assert response.json()["error"]["param"] == "min_thinking_tokens"
        assert "399 thinking tokens" in response.json()["error"]["message"]
        assert "max_tokens, which is 400" in response.json()["error"]["message"]
    # Nothing bounds a text that holds no chat.
    text = {"model": MODEL, "prompt": "Once upon a time", "max_tokens": 400, "ignore_eos": True}
    with streaming(server, "/v1/completions", text) as chunks:
        response = steer(server, next(chunks)["id"], **NOW)
        assert response.status_code in (409, 404)  # it is short, and may be over
        if response.status_code == 409:
            assert "min_thinking_tokens: 0" in response.json()["error"]["message"]


def test_many_at_once_and_at_random(server: RunningServer, counter: ReplyCounter, questions: list[str]) -> None:
    """Every report equals a recount of the tokens, in any order of events."""

    def one(number: int) -> CollectedReply:
        chance = random.Random(number)
        budget = {
            "num_waits": chance.choice((0, 3, 20)),
            "min_thinking_tokens": chance.choice((0, 30, 200)),
            "max_thinking_tokens": chance.choice((None, 200, 300)),
            "loop_tokens": chance.choice((0, 48)),
        }
        body = ask(questions[number % 4], **budget, max_tokens=400)
        body |= chance.choice(({}, {"temperature": 1.0}, {"temperature": 1.0, "n": 2}))
        result = CollectedReply()
        with streaming(server, "/v1/chat/completions", body) as chunks:
            for chunk in chunks:
                result.take(chunk)
                if chance.random() < 0.03:
                    response = steer(server, result.id, **chance.choice((NOW, until(150), until(0), until(320))))
                    assert response.status_code in (200, 404, 409), response.text
                    result.steered.append(response.json())
        return result

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(one, range(16)))
    for result in results:
        check_reports(counter, result)
    assert sum(thinking.get("steered", 0) for result in results for thinking in result.thinking.values()) > 8


def test_a_loop_is_closed_as_the_cap_would(server: RunningServer, counter: ReplyCounter, questions: list[str]) -> None:
    body = ask(questions[5], num_waits=99, max_thinking_tokens="unlimited", max_tokens=450)
    endless = server.chat(**body).json()["choices"][0]
    assert endless["thinking"]["ended_by"] == "length"
    body |= {"loop_tokens": 48, "return_token_ids": True}
    choice = server.chat(**body).json()["choices"][0]
    thinking, ids = choice["thinking"], choice["token_ids"]
    assert thinking["ended_by"] == "loop"
    assert thinking["tokens"] == counter.count(ids, thinking["tokens"])
    tail = counter.thinking(ids)[: thinking["tokens"]][-48:]
    assert any(tail[length:] == tail[:-length] for length in range(1, 17))
    assert "Final Answer:" in choice["message"]["content"]
    streamed = steered_reply(server, body)
    check_reports(counter, streamed)
    assert streamed.thinking[0] == thinking


def test_errors_in_the_loop_field_are_reported(server: RunningServer) -> None:
    for wrong in ({"loop_tokens": 3}, {"loop_tokens": -1}, {"loop_token": 48}, {"close_loops": True}):
        response = server.chat(**ask("1", **wrong))
        assert response.status_code == 400, wrong
        assert "loop_tokens" in response.json()["error"]["message"]


def shape(line: str) -> str:
    """A line of output without its numbers, which depend on timing."""
    return re.sub(r"\d+", "N", line)


def test_the_commands_of_the_page_print_the_output_shown(server: RunningServer, tmp_path: Path) -> None:
    """On a busy machine the steering request may come before the thinking: then it is repeated."""
    (shown,) = re.findall(r"```output\n(.*?)```", PAGE, re.DOTALL)
    said = next(said for said in (what_the_page_gives(server, tmp_path) for _ in range(5)) if '"before"' not in said)
    assert list(map(shape, said.splitlines())) == list(map(shape, shown.splitlines())), said


def what_the_page_gives(server: RunningServer, folder: Path) -> str:
    (commands,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    script = commands.replace("http://127.0.0.1:8000", server.url).replace("bill-7", uuid.uuid4().hex)
    run = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=START_SECONDS, check=False
    )
    assert run.returncode == 0, run.stderr
    return re.sub(r"chatcmpl-\w+", "chatcmpl-bill-N", run.stdout)
