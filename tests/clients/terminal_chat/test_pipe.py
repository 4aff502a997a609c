"""`tenuto chat` as a process that reads from a pipe and writes to one."""

import json
import subprocess
import sys
from pathlib import Path

from tests.clients.conftest import EVENT_STREAM, ScriptedResponse, ScriptedServer
from tests.clients.test_client import REPORT, STREAM

CHAT = [sys.executable, "-m", "tenuto", "chat"]
REPLY = "Hm – é\n\n42 🙂!\n[thinking: 5 tokens (at most 8), waits: 1, ended by: cap]\n"
STREAMED = ScriptedResponse(200, EVENT_STREAM, [STREAM])
SECONDS = 30.0


def piped(scripted: ScriptedServer, *options: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [*CHAT, "--url", scripted.url, *options]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_once(scripted: ScriptedServer) -> None:
    scripted.will_respond(STREAMED)
    budget = ["--max-thinking-tokens", "8", "--min-thinking-tokens", "2", "--num-waits", "1"]
    result = piped(scripted, "--once", "17 + 25?", *budget, "--model", "s1-tiny", "--api-key", "secret")
    assert (result.stdout, result.stderr, result.returncode) == (REPLY, "", 0)
    assert scripted.bodies[0] == {
        "messages": [{"role": "user", "content": "17 + 25?"}],
        "model": "s1-tiny",
        "max_thinking_tokens": 8,
        "min_thinking_tokens": 2,
        "num_waits": 1,
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "return_forced_text": True,
    }
    assert scripted.requests[0][1]["authorization"] == "Bearer secret"


def test_piped_input_keeps_the_conversation_and_runs_commands(scripted: ScriptedServer) -> None:
    scripted.will_respond(STREAMED, STREAMED, STREAMED)
    typed = "first\n\n/max 8\n/waits 2\nsecond\n/max\n/max auto\n/min 1\n/new\nthird\n/quit\nnever asked\n"
    result = piped(scripted, "--hide-thinking", typed=typed)
    assert result.returncode == 0
    assert "Hm" not in result.stdout
    assert "[thinking: at most 8, waits 2]\n" in result.stdout
    first, second, third = scripted.bodies
    assert "max_thinking_tokens" not in first
    assert [message["content"] for message in second["messages"]] == ["first", "42 🙂!", "second"]
    assert (second["max_thinking_tokens"], second["num_waits"]) == (8, 2)
    assert [message["content"] for message in third["messages"]] == ["third"]
    assert (third["max_thinking_tokens"], third["min_thinking_tokens"]) == ("auto", 1)


def test_invalid_commands_are_reported(scripted: ScriptedServer) -> None:
    result = piped(scripted, typed="/max -3\n/what\n/help\n")
    assert "/max: '-3' is not a whole number (0 or more)" in result.stdout
    assert "/what: not a command" in result.stdout
    assert "/waits N" in result.stdout
    assert not scripted.requests


def test_invalid_options_are_rejected(scripted: ScriptedServer) -> None:
    result = piped(scripted, "--num-waits", "few")
    assert result.returncode == 2
    assert "argument --num-waits: 'few' is not a whole number (0 or more)" in result.stderr


def test_a_failed_question_is_not_kept_and_sets_the_exit_status(scripted: ScriptedServer) -> None:
    scripted.will_send_json({"error": {"message": "too long", "param": "messages"}}, 400)
    scripted.will_respond(STREAMED)
    result = piped(scripted, typed="long\nshort\n")
    assert result.returncode == 1
    assert "tenuto chat: too long (HTTP 400)" in result.stderr
    assert [message["content"] for message in scripted.bodies[1]["messages"]] == ["short"]


def test_efforts_and_retries(scripted: ScriptedServer) -> None:
    scripted.will_respond(STREAMED, STREAMED, STREAMED)
    typed = "first\nsecond\n/effort much\n/effort high\n/retry\n/effort\n/now\n"
    result = piped(scripted, typed=typed)
    assert "/effort: 'much' is not one of none, minimal, low" in result.stdout
    assert "/now: no reply is running; press n while the model thinks" in result.stdout
    _, second, again = scripted.bodies
    assert again == {**second, "reasoning_effort": "high"}


def test_nothing_to_ask_again(scripted: ScriptedServer) -> None:
    assert "/retry: nothing was answered yet" in piped(scripted, typed="/retry\n").stdout


def test_a_model_is_chosen_from_those_that_are_served(scripted: ScriptedServer) -> None:
    models = {"data": [{"id": "small"}, {"id": "large"}]}
    for _ in range(3):
        scripted.will_send_json(models)
    scripted.will_respond(STREAMED)
    result = piped(scripted, typed="/model\n/model huge\n/model large\nhello\n")
    assert "models: small, large" in result.stdout
    assert "/model: 'huge' is not served; there are small, large" in result.stdout
    assert scripted.bodies[-1]["model"] == "large"


def test_a_conversation_is_saved_with_its_thinking(scripted: ScriptedServer, tmp_path: Path) -> None:
    scripted.will_respond(STREAMED, STREAMED)
    file = tmp_path / "bill.json"
    result = piped(scripted, typed=f"first\n/save {file}\n/save {file}\n/save {tmp_path}/no/where\n/save\nsecond\n")
    assert f"2 messages saved in {file}" in result.stdout
    assert f"/save: {file} exists already; choose another name" in result.stdout
    assert "No such file or directory" in result.stdout
    assert "/save: give the name of a file, such as /save bill.json" in result.stdout
    question, answer = json.loads(file.read_text())["messages"]
    assert question == {"role": "user", "content": "first"}
    assert (answer["content"], answer["reasoning"]) == ("42 🙂!", "Hm – é")
    assert answer["thinking"]["ended_by"] == REPORT.ended_by
    # The next question is sent without it.
    assert scripted.bodies[1]["messages"][1] == {"role": "assistant", "content": "42 🙂!"}


def test_json_is_one_line_for_each_reply_and_nothing_else(scripted: ScriptedServer) -> None:
    scripted.will_respond(STREAMED)
    scripted.will_send_json({"error": {"message": "too long"}}, 400)
    scripted.will_respond(STREAMED)
    result = piped(scripted, "--json", typed="first\n/waits 2\nsecond\nthird\n")
    replies = [json.loads(line) for line in result.stdout.splitlines()]
    assert [reply["content"] for reply in replies] == ["42 🙂!", "42 🙂!"]
    assert (replies[0]["reasoning"], replies[0]["finish_reason"]) == ("Hm – é", "stop")
    assert (replies[0]["thinking"]["tokens"], replies[0]["thinking"]["waits"]) == (5, 1)
    assert result.returncode == 1
    assert "too long (HTTP 400)" in result.stderr
    assert "thinking: waits 2" in result.stderr
