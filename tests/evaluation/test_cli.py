"""`tenuto eval` from the command line to the files that it writes, with a real HTTP server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tenuto_evaluation.cli import command
from tests.evaluation.conftest import Adder

PROBLEMS = [" + ".join(["1"] * length) for length in (1, 2, 3, 4, 5, 6, 7, 8)]


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    lines = [json.dumps({"question": question, "answer": question.count("1")}) for question in PROBLEMS]
    path.write_text("\n".join(lines))
    return path


def test_run_writes_tables_plots_and_results(
    adder: Adder, problems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    options = ["--problems", str(problems), "--output", str(output), "--waits", "0,1,2,3,5", "--caps", "0,10,40"]
    assert command(["run", "--url", adder.url, *options]) == 0
    assert sorted(path.name for path in output.iterdir()) == [
        "answers.jsonl",
        "caps.md",
        "caps.png",
        "results.json",
        "waits.md",
        "waits.png",
    ]
    sweeps = json.loads((output / "results.json").read_text())["sweeps"]
    assert [run["accuracy"] for run in sweeps["waits"]["runs"]] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert [run["mean_thinking_tokens"] for run in sweeps["waits"]["runs"]] == [10, 20, 30, 40, 60]
    assert [run["accuracy"] for run in sweeps["caps"]["runs"]] == [0.0, 0.25, 1.0]
    assert sweeps["caps"]["metrics"]["control"] == 1.0
    # 3 and 5 waits are equally accurate: the sweep of caps uses the smaller number.
    budgets = [run["method"]["budget"] for run in sweeps["caps"]["runs"]]
    assert budgets[0] == {"max_thinking_tokens": 0}
    assert [budget["num_waits"] for budget in budgets[1:]] == [3, 3]
    answers = [json.loads(line) for line in (output / "answers.jsonl").read_text().splitlines()]
    assert len(answers) == 8 * len(PROBLEMS)
    assert answers[0]["problem"] == {"question": "1", "answer": "1"}
    assert answers[0]["answer"]["extracted"] == "1"
    captured = capsys.readouterr()
    assert "Attempts to stop turned into Wait" in captured.out
    assert "waits 5: 8/8" in captured.err


def test_a_single_sweep(adder: Adder, problems: Path, tmp_path: Path) -> None:
    options = ["--problems", str(problems), "--output", str(tmp_path / "out"), "--limit", "2"]
    assert command(["run", "--url", adder.url, *options, "--caps", "10", "--cap-waits", "2"]) == 0
    assert [(body["max_thinking_tokens"], body["num_waits"]) for body in adder.bodies] == [(10, 2), (10, 2)]
    assert not (tmp_path / "out/waits.md").exists()


def test_failures_are_counted_and_set_the_exit_status(
    adder: Adder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text('{"question": "1", "answer": 1}\n{"question": "broken", "answer": 1}\n')
    options = ["--problems", str(path), "--output", str(tmp_path / "out"), "--waits", "0"]
    assert command(["run", "--url", adder.url, *options]) == 1
    captured = capsys.readouterr()
    assert "model 100% (1 failed)" in captured.out
    assert "failed requests: 1;" in captured.err


def test_a_run_in_which_every_request_failed_is_an_error(
    adder: Adder, problems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--problems", str(problems), "--output", str(tmp_path / "out"), "--waits", "0"]
    assert command(["run", "--url", f"{adder.url}/elsewhere", *options]) == 2
    assert "every request failed; the first: NotFound" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--waits", "0,x"], "argument --waits: 'x' is not a whole number (0 or more)"),
        (["--caps", "-1"], "argument --caps"),
        (["--waits", "0", "--limit", "0"], "argument --limit: '0' is not 1 or more"),
        ([], "nothing to run"),
    ],
)
def test_invalid_options(options: list[str], message: str, problems: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(["run", "--url", "http://127.0.0.1", "--problems", str(problems), *options])
    assert message in capsys.readouterr().err


def test_missing_problems_are_an_error(adder: Adder, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["run", "--url", adder.url, "--problems", "absent.jsonl", "--waits", "0"]) == 2
    assert "problems file: " in capsys.readouterr().err


def test_the_demo_can_use_a_running_server(adder: Adder, problems: Path, tmp_path: Path) -> None:
    output = tmp_path / "demo"
    assert command(["demo", "--url", adder.url, "--problems", str(problems), "--output", str(output)]) == 0
    assert (output / "waits.png").exists()
    assert (output / "caps.png").exists()
    assert {body["temperature"] for body in adder.bodies} == {0.0}


def test_the_module_of_the_entry_point_is_cheap_to_import() -> None:
    program = (
        "import sys, tenuto_evaluation.cli; print(sorted({'matplotlib', 'numpy', 'torch', 'vllm'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"
