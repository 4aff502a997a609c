"""Work in a process of its own comes back, or says why not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.child import in_child


def work(say: Callable[[str], None], number: int) -> dict[str, int]:
    say("at it")
    return {"process": os.getpid(), "found": 12 // number}


def test_what_it_says_and_returns(tmp_path: Path) -> None:
    said: list[str] = []
    found = in_child(work, 4, log=tmp_path / "log", say=said.append)
    assert (found["found"], said) == (3, ["at it"])
    assert found["process"] != os.getpid()


def test_a_failure_comes_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)work failed with status 1.*ZeroDivisionError"):
        in_child(work, 0, log=tmp_path / "log", say=lambda line: None)
