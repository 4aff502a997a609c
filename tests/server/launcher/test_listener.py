"""The listening socket: its address as shown, and errors that name it."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenuto_server.config.command_line import parse_command_line
from tenuto_server.errors import StartupError
from tenuto_server.launcher.listener import Listener, listen


def open_listener(*argv: str) -> Listener:
    _, args = parse_command_line(["some/model", *argv])
    listener = listen(args)
    listener.socket.close()
    return listener


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: that of a socket is limited."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def test_a_tcp_address() -> None:
    listener = open_listener("--port", "0")
    assert (listener.address, listener.curl) == ("http://127.0.0.1:0", "curl http://127.0.0.1:0")


def test_a_unix_domain_socket_is_named_where_it_is_requested_and_removed_at_the_end(folder: Path) -> None:
    path = folder / "socket"
    listener = open_listener("--uds", str(path))
    assert (listener.address, listener.curl) == (f"unix:{path}", f"curl --unix-socket {path} http://localhost")
    assert path.is_socket()
    listener.remove()
    assert not path.exists()


def test_the_socket_of_a_server_that_was_killed_is_taken_over(folder: Path) -> None:
    open_listener("--uds", str(folder / "socket"))
    open_listener("--uds", str(folder / "socket"))


def test_the_socket_of_a_server_that_runs_is_left_alone(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "socket"))
        other.listen()
        with pytest.raises(
            StartupError, match=r"cannot listen on the socket .*/socket \(--uds\): Address already in use"
        ):
            open_listener("--uds", str(folder / "socket"))
        assert (folder / "socket").is_socket()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--uds", "/nowhere/socket"),
            "cannot listen on the socket /nowhere/socket (--uds): No such file or directory",
        ),
        (("--uds", f"/tmp/{'x' * 200}"), "(--uds): AF_UNIX path too long"),
        (("--port", "99999"), "cannot listen on 127.0.0.1:99999: bind(): port must be 0-65535"),
        (("--host", "nowhere.invalid"), "cannot listen on nowhere.invalid:8000: "),
        (("--tool-call-parser", "nope", "--enable-auto-tool-choice"), "invalid tool call parser: nope"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_listened_on_is_named(options: tuple[str, ...], message: str) -> None:
    with pytest.raises(StartupError) as error:
        open_listener(*options)
    assert message in str(error.value)
    assert "'" not in str(error.value)
