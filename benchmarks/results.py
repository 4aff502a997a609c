"""Summaries on disk: one JSON file for each benchmark, with the circumstances of the run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .benchmark import Results


@dataclass(frozen=True)
class Record:
    """The summary of one run of a benchmark.

    Attributes:
        benchmark: its name.
        date: when it ended, in UTC, to the minute.
        machine: see `describe_machine`.
        seconds: how long it took.
        results: what `measure` returned.
    """

    benchmark: str
    date: str
    machine: Mapping[str, str]
    seconds: float
    results: Results


def save(record: Record, folder: Path) -> None:
    """Write `folder/NAME.json`, replacing an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(vars(record), indent=1, allow_nan=False)
    unfinished = folder / f"{record.benchmark}.json.unfinished"
    unfinished.write_text(text + "\n")
    unfinished.replace(folder / f"{record.benchmark}.json")


def read_all(folder: Path) -> dict[str, Record]:
    """All records of the folder, by the benchmarks' names."""
    records = (Record(**json.loads(path.read_text())) for path in sorted(folder.glob("*.json")))
    return {record.benchmark: record for record in records}
