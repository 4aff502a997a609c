"""Connections from this process in the network of a container."""

import ctypes
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

#: CLONE_NEWNET of Linux, which `os` has from Python 3.12 on.
_NETWORK = 0x40000000


@contextmanager
def inside(network: Path) -> Iterator[Executor]:
    """A thread that opens its sockets in a network namespace. Only this thread enters it."""
    with ThreadPoolExecutor(1, initializer=_enter, initargs=(network,)) as thread:
        yield thread


def _enter(network: Path) -> None:
    handle = os.open(network, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, _NETWORK):
            raise OSError(ctypes.get_errno(), f"{network} cannot be entered")
    finally:
        os.close(handle)
