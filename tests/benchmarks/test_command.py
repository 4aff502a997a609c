"""`python -m benchmarks`: what it runs, keeps, writes and says."""

import json
import os
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.benchmark import Results, Run

from .made_up import MadeUp


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    return tmp_path


def stand_in(monkeypatch: pytest.MonkeyPatch, *benchmarks: MadeUp) -> None:
    monkeypatch.setattr(command, "NAMES", tuple(benchmark.name for benchmark in benchmarks))
    for benchmark in benchmarks:
        monkeypatch.setitem(sys.modules, f"benchmarks.{benchmark.name}", benchmark)


def test_all_run_in_their_order_and_everything_is_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pace, drift = MadeUp("pace", [1.0, 1.5]), MadeUp("drift", [3.0])
    stand_in(monkeypatch, pace, drift)
    assert command.main([]) == 0

    [run] = pace.runs
    assert not run.quick
    assert not run.work.exists()
    kept = json.loads((root / "benchmarks/results/pace.json").read_text())
    assert set(kept) == {"benchmark", "date", "machine", "seconds", "results"}
    assert (kept["benchmark"], kept["results"]) == ("pace", {"found": [1.0, 1.5]})
    assert kept["machine"]["vllm"]
    text = (root / "docs/benchmarks.md").read_text()
    assert text.index("## The cost of pace") < text.index("## The cost of drift")
    assert len(list((root / "docs/benchmarks").iterdir())) == 2

    printed = capsys.readouterr().out
    lines = ["pace: begins", "pace: measuring", "pace: done in 0 s", "drift: begins", "drift: measuring"]
    places = [printed.index(line) for line in lines]
    assert places == sorted(places)
    assert "[  0:00] pace: begins" in printed
    [reached] = [line.split() for line in printed.splitlines() if line.endswith("  reached")]
    [missed] = [line.split() for line in printed.splitlines() if line.endswith("  NOT REACHED")]
    assert (reached[0], missed[0]) == ("pace", "drift")


def test_one_that_fails_takes_nothing_with_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was measured before it is kept already, what comes after it runs, and the end says what failed."""
    stand_in(monkeypatch, MadeUp("pace", [1.0]), MadeUp("memory", error=OSError("no memory")), MadeUp("drift", [1.0]))
    assert command.main([]) == 1
    assert {path.stem for path in (root / "benchmarks/results").iterdir()} == {"pace", "drift"}
    assert "Nothing is kept yet of: `memory`." in (root / "docs/benchmarks.md").read_text()
    captured = capsys.readouterr()
    assert captured.out.endswith("memory FAILED: OSError: no memory\n")
    assert "Traceback" in captured.err


def test_a_benchmark_finds_the_process_as_the_one_before_it_did(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine in this process sets variables for its workers and takes to one core; servers would inherit both."""
    cores = os.sched_getaffinity(0)
    found: list[object] = []

    class Greedy(MadeUp):
        def measure(self, run: Run) -> Results:
            found.append((os.environ.get("GREED"), os.sched_getaffinity(0)))
            os.environ["GREED"] = "1"
            os.sched_setaffinity(0, {min(cores)})
            return super().measure(run)

    stand_in(monkeypatch, Greedy("pace", [1.0]), Greedy("drift", error=OSError("no")), Greedy("memory", [1.0]))
    assert command.main([]) == 1
    assert found == [(None, cores)] * 3
    assert os.sched_getaffinity(0) == cores


def test_those_that_are_named_run_and_the_page_has_the_others_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pace, drift = MadeUp("pace", [1.0]), MadeUp("drift", [1.0])
    stand_in(monkeypatch, pace, drift)
    assert command.main([]) == 0
    pace.found = [9.0]
    assert command.main(["pace", "pace"]) == 0
    assert (len(pace.runs), len(drift.runs)) == (2, 1)
    text = (root / "docs/benchmarks.md").read_text()
    assert "9.0 (9.0 to 9.0). **NOT REACHED**" in text
    assert "## The cost of drift" in text


def test_the_page_alone_measures_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = MadeUp("pace", [1.0])
    stand_in(monkeypatch, pace)
    assert command.main([]) == 0
    before = (root / "docs/benchmarks.md").read_text()
    (root / "docs/benchmarks.md").write_text("edited by hand")
    assert command.main(["--page"]) == 0
    assert (root / "docs/benchmarks.md").read_text() == before
    assert len(pace.runs) == 1


def test_the_short_form_keeps_nothing_and_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pace = MadeUp("pace", [1.0])
    stand_in(monkeypatch, pace)
    assert command.main(["--quick", "pace"]) == 0
    assert pace.runs[0].quick
    assert list(root.iterdir()) == []
    assert capsys.readouterr().out.endswith("its figures say nothing, and nothing of it is kept.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pace", "sped"], "no benchmark is called sped; there are pace, drift"),
        (["--page", "pace"], "--page measures nothing"),
        (["--page", "--quick"], "--page measures nothing"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    stand_in(monkeypatch, MadeUp("pace"), MadeUp("drift"))
    with pytest.raises(SystemExit) as raised:
        command.main(arguments)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err
