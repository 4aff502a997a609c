"""One of two servers behind vllm-router is drained, comes back, is replaced, and the other is killed, all under load.

The tests follow each other: each fixture is an event, and its tests look at what clients got and servers logged.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tenuto_evaluation.launch import LaunchedServer, signal_group
from tenuto_testing.router import documented
from tenuto_testing.servers import RunningServer, serving
from tests.fleet.conftest import ENVIRONMENT, MODEL_NAMES, options_of
from tests.fleet.routed_load import (
    ANTHROPIC,
    CHAT,
    COMPLETIONS,
    PROMPTS,
    RESPONSES,
    RoutedLoad,
    RoutedRequest,
    answers,
    home,
    in_background,
    sessions_at,
    wait_for_logs,
    wait_until,
    workers,
)

FIRST, SECOND = MODEL_NAMES
#: The router repeats requests to these paths if they have not begun to stream; to the others it does not.
REPEATED = (CHAT, COMPLETIONS)
KINDS = [(path, is_stream) for path in REPEATED for is_stream in (True, False)]
ALL_KINDS = [(path, is_stream) for path in PROMPTS for is_stream in (True, False)]


@pytest.fixture(scope="module")
def sessions(routed: httpx.Client) -> dict[str, list[str]]:
    """Two sessions of each replica."""
    return {replica: sessions_at(routed, replica, 2) for replica in MODEL_NAMES}


@pytest.fixture(scope="module")
def all_sessions(sessions: dict[str, list[str]]) -> list[str]:
    return [name for names in sessions.values() for name in names]


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


# The first server is drained.


class Drained:
    """What happened while the first server shut down: replies that ran, and the load all the time."""

    def __init__(self, server: RunningServer, router: LaunchedServer, sessions: dict[str, list[str]]) -> None:
        first, other = sessions[FIRST]
        self.running = [RoutedRequest(CHAT, first, 300, True), RoutedRequest(COMPLETIONS, other, 300)]
        self.running += [RoutedRequest(RESPONSES, first, 300, True), RoutedRequest(ANTHROPIC, other, 300)]
        with RoutedLoad(router.url, [first, other, *sessions[SECOND]], KINDS, 20) as load:
            threads = in_background(self.running, router.url)
            streams = [request for request in self.running if request.is_stream]
            wait_until(lambda: all(request.has_begun for request in streams))
            wait_until(lambda: server.gauge("tenuto_sequences") >= len(self.running))
            server.process.send_signal(signal.SIGTERM)
            self.status = server.process.wait(90)
            time.sleep(1)
        join(threads)
        self.load = load


@pytest.fixture(scope="module")
def drained(
    fleet: tuple[RunningServer, RunningServer], router: LaunchedServer, sessions: dict[str, list[str]]
) -> Drained:
    event = Drained(fleet[0], router, sessions)
    wait_for_logs([*event.running, *event.load.requests], *(server.log for server in fleet))
    return event


def test_replies_that_run_are_finished_by_the_server_that_drains(
    drained: Drained, fleet: tuple[RunningServer, RunningServer]
) -> None:
    assert [request for request in drained.running if not request.is_whole] == []
    assert [answers(request, [fleet[0].log]) for request in drained.running] == [1] * len(drained.running)
    assert drained.status == 0


def test_new_requests_go_to_the_other_server_and_none_is_lost(
    drained: Drained, fleet: tuple[RunningServer, RunningServer], sessions: dict[str, list[str]]
) -> None:
    assert [request for request in drained.load.requests if not request.is_whole] == []
    logs = [server.log for server in fleet]
    assert {answers(request, logs) for request in drained.load.requests} == {1}
    moved = [request for request in drained.load.requests[-4:] if request.session in sessions[FIRST]]
    assert moved
    assert [answers(request, [fleet[1].log]) for request in moved] == [1] * len(moved)


# It is started again, as after an upgrade.


@pytest.fixture(scope="module")
def returned(
    drained: Drained, fleet: tuple[RunningServer, RunningServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """The first server, started again at the same address."""
    log, port = tmp_path_factory.mktemp(FIRST) / "log", int(fleet[0].url.rpartition(":")[2])
    with serving(log, *options_of(FIRST), environment=ENVIRONMENT, port=port) as server:
        server.wait_until(server.ready)
        yield server


@pytest.fixture(scope="module")
def logs(returned: RunningServer, fleet: tuple[RunningServer, RunningServer]) -> list[Path]:
    return [returned.log, *(server.log for server in fleet)]


def test_a_server_that_returns_gets_its_sessions_back(
    returned: RunningServer, routed: httpx.Client, sessions: dict[str, list[str]]
) -> None:
    wait_until(lambda: workers(routed)[returned.url], seconds=5)
    assert {home(routed, {"X-Session-ID": name}) for name in sessions[FIRST]} == {FIRST}


def shown_commands(router: LaunchedServer, server: RunningServer) -> list[str]:
    """The two requests to the router in the page's upgrade."""
    commands = documented("remove_worker", port_8080=router.url, port_8001=server.url).splitlines()
    return [line.partition(" # ")[0] for line in commands if line.startswith("curl")]


def test_a_server_that_is_removed_from_the_router_loses_nothing(
    returned: RunningServer, router: LaunchedServer, routed: httpx.Client, all_sessions: list[str], logs: list[Path]
) -> None:
    """Then even endpoints whose requests the router does not repeat see no error while a server is replaced."""
    with RoutedLoad(router.url, all_sessions, ALL_KINDS, 20) as load:
        time.sleep(1)
        leave_out, take_back = shown_commands(router, returned)
        subprocess.run(["bash", "-c", leave_out], check=True)
        before = len(load.requests)
        time.sleep(2)
    wait_for_logs(load.requests, *logs)
    assert [request for request in load.requests if not request.is_whole] == []
    assert {answers(request, logs) for request in load.requests} == {1}
    assert [request for request in load.requests[before:] if answers(request, [returned.log])] == []
    subprocess.run(["bash", "-c", take_back], check=True)
    assert {home(routed, {"X-Session-ID": name}) for name in all_sessions} == set(MODEL_NAMES)


# The second server is killed.


class Killed:
    """What became of requests whose server was killed, and of those that came next."""

    def __init__(self, server: RunningServer, router: LaunchedServer, sessions: dict[str, list[str]]) -> None:
        name = sessions[SECOND][0]
        self.begun = [RoutedRequest(path, name, 600, True) for path in PROMPTS]
        self.waiting = [RoutedRequest(path, name, 300) for path in PROMPTS]
        self.next = [RoutedRequest(path, name, 20, is_stream) for path, is_stream in KINDS]
        running = [*self.begun, *self.waiting]
        with RoutedLoad(router.url, [*sessions[FIRST], *sessions[SECOND]], KINDS, 20) as load:
            threads = in_background(running, router.url)
            wait_until(lambda: all(request.has_begun for request in self.begun))
            wait_until(lambda: server.gauge("tenuto_sequences") >= len(running))
            signal_group(server.process, signal.SIGKILL)
            threads += in_background(self.next, router.url)
            join(threads)
        self.load = load


@pytest.fixture(scope="module")
def killed(
    returned: RunningServer,
    fleet: tuple[RunningServer, RunningServer],
    router: LaunchedServer,
    sessions: dict[str, list[str]],
) -> Killed:
    event = Killed(fleet[1], router, sessions)
    wait_for_logs([*event.waiting, *event.next], returned.log)
    wait_for_logs(event.load.requests, returned.log, fleet[1].log)
    return event


def test_streams_that_had_begun_break_and_are_not_answered_again(killed: Killed, logs: list[Path]) -> None:
    """Their clients see a connection that ends early: never an end of the stream, never another server's text."""
    for request in killed.begun:
        assert isinstance(request.error, httpx.RemoteProtocolError)
        assert request.status == 200
        assert not request.is_whole
        assert "[DONE]" not in request.text
        assert "message_stop" not in request.text
        assert answers(request, logs) == 0


def test_requests_that_had_not_begun_are_answered_by_the_other_server(
    killed: Killed, returned: RunningServer, logs: list[Path]
) -> None:
    repeated = [request for request in killed.waiting if request.path in REPEATED] + killed.next
    assert [request for request in repeated if not request.is_whole] == []
    assert {answers(request, logs) for request in repeated} == {1}
    assert {answers(request, [returned.log]) for request in repeated} == {1}


def test_what_the_router_does_not_repeat_gets_an_error_that_clients_repeat(
    killed: Killed, routed: httpx.Client, logs: list[Path]
) -> None:
    failed = [request for request in killed.waiting if request.path not in REPEATED]
    assert {(request.status, answers(request, logs)) for request in failed} == {(502, 0)}
    again = [RoutedRequest(request.path, request.session, 20) for request in failed]
    for request in again:
        request.send(routed)
    assert [request for request in again if not request.is_whole] == []


def test_no_request_is_lost_and_none_is_answered_twice(killed: Killed, logs: list[Path]) -> None:
    lost = [request for request in killed.load.requests if not request.is_whole]
    assert [request for request in lost if not (request.is_stream and request.has_begun)] == []
    answered = {(request.is_whole, answers(request, logs)) for request in killed.load.requests}
    assert (True, 1) in answered
    assert answered <= {(True, 1), (False, 0)}


def test_the_router_leaves_the_dead_server_out(
    killed: Killed, returned: RunningServer, fleet: tuple[RunningServer, RunningServer], routed: httpx.Client
) -> None:
    assert workers(routed) == {returned.url: True, fleet[1].url: False}
    begin = time.monotonic()
    assert {home(routed, {"X-Session-ID": str(number)}) for number in range(6)} == {FIRST}
    assert time.monotonic() - begin < 5
