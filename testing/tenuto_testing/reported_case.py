"""Requests that users reported, with what is right; and streams of every endpoint assembled into the whole reply."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import ndiff
from pprint import pformat
from typing import Any

import httpx
from pydantic_core import from_json

from .servers import MODEL, NO_TLS, START_SECONDS, RunningServer

#: The model of each server, by the fixture's name.
_MODELS = {"server": MODEL, "thinker": "thinker"}
#: What identifies a reply, when it was made, and what it found in the prefix cache: different in every reply.
_OF_ONE_REPLY = frozenset(
    [
        "id",
        "call_id",
        "item_id",
        "created",
        "created_at",
        "completed_at",
        "system_fingerprint",
        "signature",
        "input_tokens_details",
        "prompt_tokens_details",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
    ]
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request, sent whole and streamed.

    Attributes:
        name: what is right, in words; unique.
        body: without the model.
        status: of the response, the same whole and streamed.
        param, message: for a 4xx: the field that the error names, and a part of its message.
        check: asserts on the body of the whole reply; called with the assembled stream as well.
        streams: whether the request is sent streamed too.
        agrees: whether the assembled stream equals the whole reply, as it does at temperature 0.
        server: the fixture of the server that gets it.
    """

    name: str
    path: str
    body: Mapping[str, Any]
    status: int = 200
    param: str | None = None
    message: str = ""
    check: Callable[[Any], None] | None = None
    streams: bool = True
    agrees: bool = True
    server: str = "server"

    def send(self, server: RunningServer, *, stream: bool) -> httpx.Response:
        """The response to the request. Its body is sent unchanged, except for model and stream."""
        body = {"model": _MODELS[self.server], **self.body}
        if stream:
            body["stream"] = True
            if "completions" in self.path and body.get("stream_options") is None:
                body["stream_options"] = {"include_usage": True}
        return httpx.post(
            server.url + self.path,
            content=json.dumps(body),
            headers={"Content-Type": "application/json"},
            timeout=START_SECONDS,
            verify=NO_TLS,
        )

    def verify(self, server: RunningServer) -> None:
        """Send the request in both forms, and check everything that is stated about it.

        Raises:
            AssertionError: with the response.
        """
        whole = self.send(server, stream=False)
        self._verify_status(whole, server)
        if self.status < 400 and self.check is not None:
            self.check(whole.json())
        if not self.streams:
            return
        streamed = self.send(server, stream=True)
        self._verify_status(streamed, server)
        if self.status >= 400:
            return
        assembled = assemble(self.path, streamed.text)
        if self.check is not None:
            self.check(assembled)
        if self.agrees:
            streamed_essence, whole_essence = essence(self.path, assembled), essence(self.path, whole.json())
            assert streamed_essence == whole_essence, _difference(whole_essence, streamed_essence)

    def _verify_status(self, response: httpx.Response, server: RunningServer) -> None:
        assert response.status_code == self.status, response.text[:2000]
        assert server.get("/livez").elapsed.total_seconds() < 5
        if self.status < 400:
            return
        error = response.json()["error"]
        assert ("type" in response.json()) == self.path.startswith("/v1/messages"), response.text
        assert error.get("param") == self.param, response.text
        assert self.message in error["message"], response.text
        assert len(error["message"]) < 1000, response.text


def events(text: str) -> Iterator[dict[str, Any]]:
    """The data of all server-sent events of a stream.

    Raises:
        AssertionError: for an error event.
    """
    for line in text.splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            event = json.loads(line.removeprefix("data: "))
            failed = event.get("type") in ("error", "response.failed") or event.get("error")
            assert not failed, f"the stream failed: {line}"
            yield event


def assemble(path: str, text: str) -> dict[str, Any]:
    """The whole reply that a stream amounts to, in the shape of the endpoint."""
    path = path.partition("?")[0]
    if path == "/v1/responses":
        return _response(text)
    if path == "/v1/messages":
        return _message(text)
    assert text.endswith("data: [DONE]\n\n"), text[-500:]
    return _completion(text)


def _response(text: str) -> dict[str, Any]:
    *before, last = events(text)
    assert last["type"] in ("response.completed", "response.incomplete"), last
    response: dict[str, Any] = last["response"]
    done = [event["item"] for event in before if event["type"] == "response.output_item.done"]
    assert _without_ids(done) == _without_ids(response["output"]), "the items of the events are not the response's"
    assert [item["id"] for item in done] == [item["id"] for item in response["output"]]
    numbers = [event["sequence_number"] for event in (*before, last)]
    assert numbers == list(range(len(numbers)))
    return response


def _message(text: str) -> dict[str, Any]:
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    arguments: dict[int, str] = {}
    for event in events(text):
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "content_block_start":
            blocks[event["index"]] = event["content_block"]
        elif event["type"] == "content_block_delta":
            delta, block = event["delta"], blocks[event["index"]]
            if delta["type"] == "input_json_delta":
                arguments[event["index"]] = arguments.get(event["index"], "") + delta["partial_json"]
            else:
                name = delta["type"].removesuffix("_delta")
                block[name] = block.get(name, "") + delta[name]
        elif event["type"] == "message_delta":
            usage = {**message["usage"], **event["usage"]}
            rest = {name: value for name, value in event.items() if name not in ("type", "delta")}
            message = {**message, **event["delta"], **rest, "usage": usage}
    for index, written in arguments.items():
        blocks[index]["input"] = from_json(written, allow_partial=True) if written else {}  # as the SDK does
    return {**message, "content": [blocks[index] for index in sorted(blocks)]}


def _completion(text: str) -> dict[str, Any]:
    reply: dict[str, Any] = {"choices": []}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in events(text):
        reply |= {name: value for name, value in chunk.items() if name != "choices" and value is not None}
        for part in chunk["choices"]:
            choice = choices.setdefault(part["index"], {"index": part["index"]})
            for name, value in part.items():
                if name == "delta":
                    _add_delta(choice.setdefault("message", {}), value)
                elif name == "text":
                    choice["text"] = choice.get("text", "") + value
                elif name == "logprobs" and value is not None and "logprobs" in choice:
                    choice["logprobs"] = {key: choice["logprobs"][key] + value[key] for key in value}
                elif value is not None:
                    choice[name] = value
    return {**reply, "choices": [choices[index] for index in sorted(choices)]}


def _add_delta(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if name == "tool_calls":
            for part in value or ():
                calls = message.setdefault("tool_calls", [])
                if part["index"] == len(calls):
                    calls.append({"type": "function", "function": {"name": None, "arguments": ""}})
                call = calls[part["index"]]
                call["id"] = part.get("id") or call.get("id")
                function = part.get("function") or {}
                call["function"]["name"] = function.get("name") or call["function"]["name"]
                call["function"]["arguments"] += function.get("arguments") or ""
        elif isinstance(value, str) and name != "role":
            message[name] = message.get(name, "") + value
        elif value is not None:
            message[name] = value


def essence(path: str, reply: Mapping[str, Any]) -> Any:
    """What has to be the same in a whole reply and in an assembled stream."""
    path = path.partition("?")[0]
    if path == "/v1/responses":
        return _without_ids(reply)
    if path == "/v1/messages":
        return _without_ids({name: reply.get(name) for name in ("content", "stop_reason", "usage", "thinking_report")})
    names = ("text", "content", "reasoning", "reasoning_content", "tool_calls")
    choices = [
        {
            **{name: {**choice, **choice.get("message", {})}.get(name) or None for name in names},
            **{name: choice.get(name) for name in ("index", "finish_reason", "stop_reason", "thinking", "logprobs")},
        }
        for choice in reply["choices"]
    ]
    return _without_ids({"choices": choices, "usage": reply["usage"]})


def _difference(whole: Any, streamed: Any) -> str:
    lines = ndiff(pformat(whole, width=100).splitlines(), pformat(streamed, width=100).splitlines())
    return "\n".join(["whole and streamed differ:", *lines])


def _without_ids(value: Any) -> Any:
    """The value without what differs in every reply; null is the same as not given."""
    if isinstance(value, Mapping):
        kept = {name: _without_ids(part) for name, part in value.items() if name not in _OF_ONE_REPLY}
        return {name: part for name, part in kept.items() if part not in (None, [], {})}
    return [_without_ids(part) for part in value] if isinstance(value, list) else value
