"""`python -m benchmarks`: what it runs, saves, writes and prints."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.pages import BEGIN, END

from .example_benchmark import ExampleBenchmark

PAGE = f"By hand.\n\n{BEGIN}\n{END}\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/benchmarks.md").write_text(PAGE)
    return tmp_path


def stand_in(monkeypatch: pytest.MonkeyPatch, *benchmarks: ExampleBenchmark) -> None:
    monkeypatch.setattr(command, "NAMES", tuple(benchmark.name for benchmark in benchmarks))
    for benchmark in benchmarks:
        monkeypatch.setitem(sys.modules, f"benchmarks.{benchmark.name}", benchmark)


def run_all_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several benchmarks run in this process, where the made-up ones are."""

    def run(name: str, check: bool) -> int:
        try:
            return command.main([name, *(["--check"] if check else [])])
        except Exception:
            return 1

    monkeypatch.setattr(command, "run_in_process", run)


def test_one_benchmark_saves_its_summary_and_writes_the_pages(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pace = ExampleBenchmark("pace", [1.0])
    stand_in(monkeypatch, pace, ExampleBenchmark("drift"))
    assert command.main(["pace"]) == 0

    [run] = pace.runs
    assert not run.check
    assert not run.work.exists()
    saved = json.loads((root / "benchmarks/results/pace.json").read_text())
    assert set(saved) == {"benchmark", "date", "machine", "seconds", "results"}
    assert (saved["benchmark"], saved["results"]) == ("pace", {"found": [1.0]})
    assert saved["machine"]["vllm"]
    assert "| pace within 2 % | 1.0 | reached |" in (root / "docs/benchmarks.md").read_text()
    assert (root / "docs/benchmarks/pace-cost.svg").exists()
    assert (root / "benchmarks/results/pace.md").exists()

    printed = capsys.readouterr().out
    parts = ["] measuring", "pace in per cent:", "pace within 2 %", "pace took "]
    positions = [printed.index(part) for part in parts]
    assert positions == sorted(positions)


def test_all_run_in_their_order_and_a_failure_stops_none_of_the_others(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(
        monkeypatch,
        ExampleBenchmark("pace"),
        ExampleBenchmark("memory", error=OSError("no memory")),
        ExampleBenchmark("drift"),
    )
    run_all_here(monkeypatch)
    assert command.main([]) == 1
    assert {path.stem for path in (root / "benchmarks/results").glob("*.json")} == {"pace", "drift"}
    assert capsys.readouterr().out.endswith("FAILED: memory\n")


def test_the_page_keeps_what_other_benchmarks_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pace, drift = ExampleBenchmark("pace"), ExampleBenchmark("drift")
    stand_in(monkeypatch, pace, drift)
    run_all_here(monkeypatch)
    assert command.main([]) == 0
    pace.found = [9.0]
    assert command.main(["pace", "pace"]) == 0
    assert (len(pace.runs), len(drift.runs)) == (2, 1)
    text = (root / "docs/benchmarks.md").read_text()
    assert "| pace within 2 % | 9.0 | MISSED |" in text
    assert "| drift within 2 % | 1.0 | reached |" in text


def test_tables_are_written_without_measuring(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = ExampleBenchmark("pace")
    stand_in(monkeypatch, pace)
    assert command.main([]) == 0
    before = (root / "docs/benchmarks.md").read_text()
    (root / "docs/benchmarks.md").write_text(PAGE)
    assert command.main(["--tables"]) == 0
    assert (root / "docs/benchmarks.md").read_text() == before
    assert len(pace.runs) == 1


@pytest.mark.parametrize(
    "options", [["pace", "--check"], ["overhead", "--against", sys.prefix + "/..", "--minutes", "3"]]
)
def test_checks_and_comparisons_save_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    example_benchmark = ExampleBenchmark(options[0])
    stand_in(monkeypatch, example_benchmark)
    monkeypatch.setattr(command, "checkout", Path)
    before = sorted(root.rglob("*"))
    assert command.main(options) == 0
    assert sorted(root.rglob("*")) == before
    assert (root / "docs/benchmarks.md").read_text() == PAGE
    [run] = example_benchmark.runs
    assert (run.check, run.minutes) == (("--check" in options), 3.0 if "--minutes" in options else None)
    assert "in per cent:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pace", "sped"], "no benchmark is called sped; there are pace, drift"),
        (["--tables", "pace"], "--tables measures nothing"),
        (["--tables", "--check"], "--tables measures nothing"),
        (["pace", "--minutes", "3"], "--against and --minutes are options of overhead"),
        (["overhead", "--against", "/nowhere"], "/nowhere has no .venv/bin/python; run `make setup` there"),
    ],
)
def test_contradictory_options_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    stand_in(monkeypatch, ExampleBenchmark("pace"), ExampleBenchmark("drift"))
    with pytest.raises(SystemExit) as raised:
        command.main(arguments)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err
