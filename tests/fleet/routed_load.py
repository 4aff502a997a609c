"""Clients that send requests through a router all the time, and a count of who has answered each."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tenuto_testing.servers import NO_TLS
from tests.fleet.conftest import SHARED_NAME

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, ANTHROPIC = "/v1/responses", "/v1/messages"
BILL = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"
PROMPTS: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": BILL}]},
    COMPLETIONS: {"prompt": f"<|im_start|>user\n{BILL}<|im_end|>\n<|im_start|>assistant\n"},
    RESPONSES: {"input": BILL},
    ANTHROPIC: {"messages": [{"role": "user", "content": BILL}]},
}
_LIMITS = {RESPONSES: "max_output_tokens"}
#: Markers and the answer.
_ROOM = 60


@dataclass
class RoutedRequest:
    """A request through the router, and what its client got.

    Attributes:
        id: sent in the body, because the router does not pass headers on to all endpoints.
        tokens: to think, exactly.
        has_begun: a first byte of the reply has arrived.
        error: a failure of the connection.
    """

    path: str
    session: str
    tokens: int
    is_stream: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: int | None = None
    text: str = ""
    has_begun: bool = False
    error: httpx.HTTPError | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the reply is complete: the report of its thinking comes last."""
        return self.status == 200 and self.error is None and f'"tokens":{self.tokens},' in self.text

    def send(self, http: httpx.Client) -> None:
        headers = {"X-Session-ID": self.session}
        body = {
            "model": SHARED_NAME,
            **PROMPTS[self.path],
            "stream": self.is_stream,
            "temperature": 0,
            "max_thinking_tokens": self.tokens,
            "min_thinking_tokens": self.tokens,
            _LIMITS.get(self.path, "max_tokens"): self.tokens + _ROOM,
            "request_id": self.id,
        }
        try:
            with http.stream("POST", self.path, json=body, headers=headers) as response:
                self.status = response.status_code
                for piece in response.iter_text():
                    self.text += piece
                    self.has_begun = True
        except httpx.HTTPError as error:
            self.error = error


class RoutedLoad:
    """Sends requests of several sessions until it is stopped: each session the next one when it has its reply."""

    def __init__(self, url: str, sessions: Iterable[str], kinds: Sequence[tuple[str, bool]], tokens: int) -> None:
        self._url, self._kinds, self._tokens = url, kinds, tokens
        self._stop = threading.Event()
        self.requests: list[RoutedRequest] = []
        self._threads = [threading.Thread(target=self._run, args=(session,)) for session in sessions]

    def __enter__(self) -> "RoutedLoad":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, session: str) -> None:
        with httpx.Client(base_url=self._url, timeout=120, verify=NO_TLS) as http:
            turn = 0
            while not self._stop.is_set():
                path, is_stream = self._kinds[turn % len(self._kinds)]
                request = RoutedRequest(path, session, self._tokens, is_stream)
                self.requests.append(request)
                request.send(http)
                turn += 1


def in_background(requests: Sequence[RoutedRequest], url: str) -> list[threading.Thread]:
    """Send all of them at once."""

    def send(request: RoutedRequest) -> None:
        with httpx.Client(base_url=url, timeout=120, verify=NO_TLS) as http:
            request.send(http)

    threads = [threading.Thread(target=send, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    return threads


def answers(request: RoutedRequest, logs: Iterable[Path]) -> int:
    """How often a server has generated the whole reply to a request, by the logs of all servers."""
    lines = (line for log in logs for line in log.read_text().splitlines())
    return sum(f"request_id={request.id} " in line and " 200 ok " in line for line in lines)


def wait_for_logs(requests: Iterable[RoutedRequest], *logs: Path) -> None:
    """Wait until servers have logged all requests whose replies are complete: they do so after the last byte."""

    def is_logged() -> bool:
        text = "".join(log.read_text() for log in logs)
        return all(f"request_id={request.id} " in text for request in requests if request.is_whole)

    wait_until(is_logged, seconds=20)


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def home(http: httpx.Client, headers: dict[str, str]) -> str:
    """The replica to which the router sends requests with these headers, by the first name of its model."""
    sent = {**PROMPTS[CHAT], "max_tokens": 1, "max_thinking_tokens": 0}
    name: str = http.post(CHAT, json=sent, headers=headers).raise_for_status().json()["model"]
    return name


def sessions_at(http: httpx.Client, replica: str, count: int) -> list[str]:
    """Sessions whose requests the router sends to this replica."""
    names = (uuid.uuid4().hex for _ in range(100))
    found = (name for name in names if home(http, {"X-Session-ID": name}) == replica)
    return [next(found) for _ in range(count)]


def workers(http: httpx.Client) -> dict[str, bool]:
    """Whether the router takes each server for healthy, by URL."""
    found = json.loads(http.get("/workers").raise_for_status().text)["workers"]
    return {worker["url"]: worker["is_healthy"] for worker in found}
