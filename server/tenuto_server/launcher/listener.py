"""The socket that the server listens on, and its address as people and commands need it."""

import socket
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..config.option_errors import describe
from ..errors import StartupError
from ..vllm_compat import setup_server


class Listener(NamedTuple):
    """A bound socket.

    Attributes:
        address: `http://HOST:PORT`, or `unix:PATH`.
        curl: the beginning of a command that requests a path, which follows directly.
        path: of a Unix domain socket.
    """

    socket: socket.socket
    address: str
    curl: str
    path: Path | None = None

    def remove(self) -> None:
        """Remove the file of a Unix domain socket: binding to it again would fail."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def listen(args: Namespace) -> Listener:
    """Check the options of the API server and bind its socket.

    Raises:
        StartupError: for options that cannot work, and for an address that is taken or cannot be used.
    """
    path = Path(args.uds) if args.uds else None
    if path is not None:
        _remove_abandoned(path)
    try:
        address, bound = setup_server(args, reuse_port=False)
    except (OSError, OverflowError) as error:
        target = f"the socket {path} (--uds)" if path is not None else f"{args.host}:{args.port}"
        raise StartupError(f"cannot listen on {target}: {getattr(error, 'strerror', None) or error}") from error
    except Exception as error:
        raise StartupError(describe(error)) from error
    curl = f"curl --unix-socket {path} http://localhost" if path is not None else f"curl {address}"
    return Listener(bound, address, curl, path)


def _remove_abandoned(path: Path) -> None:
    """Remove the file of a socket on which no process listens, as one that was killed leaves it."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            with suppress(OSError):
                path.unlink()
        except OSError:
            pass
