"""Work in a process of its own: vLLM changes environment, threads and affinity of the one that it runs in."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tenuto_evaluation.launch import tail

Say = Callable[[str], None]


def in_child(work: Callable[..., Any], *arguments: object, log: Path, say: Say) -> Any:
    """What `work(say, *arguments)` returns there; all of that must pass through pickle.

    Its output goes to `log`, and it has ended when this returns, however that happens.

    Raises:
        RuntimeError: with the end of the log, where it failed.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_carry_out, args=(there, work, arguments, log), daemon=True)
    process.start()
    there.close()  # so that its end is seen here
    try:
        while isinstance(told := here.recv(), str):
            say(told)
        (found,) = told
        return found
    except EOFError:
        process.join()
        raise RuntimeError(f"{work.__name__} failed with status {process.exitcode}\n{tail(log)}") from None
    finally:
        process.terminate()
        process.join()


def _carry_out(out: Connection, work: Callable[..., Any], arguments: tuple[object, ...], log: Path) -> None:
    with log.open("wb") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
        out.send((work(out.send, *arguments),))
