"""Results are kept as one JSON file for each benchmark, with what a reader must know beside them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .benchmark import Results


@dataclass(frozen=True)
class Kept:
    """What a benchmark found, and where and when.

    Attributes:
        benchmark: its name.
        date: in UTC, to the minute, when it was done.
        machine: as `describe_machine` gives it.
        seconds: that it took.
        results: as `measure` gave them.
    """

    benchmark: str
    date: str
    machine: Mapping[str, str]
    seconds: float
    results: Results


def keep(kept: Kept, folder: Path) -> None:
    """Write `folder/NAME.json`, in place of what was kept before."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(vars(kept), indent=1, allow_nan=False)
    unfinished = folder / f"{kept.benchmark}.json.unfinished"
    unfinished.write_text(text + "\n")
    unfinished.replace(folder / f"{kept.benchmark}.json")


def read_kept(folder: Path) -> dict[str, Kept]:
    """All that is kept in the folder, by the benchmarks' names."""
    every = (Kept(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json")))
    return {kept.benchmark: kept for kept in every}
