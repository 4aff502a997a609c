"""`tenuto train`: error messages, and an import without PyTorch."""

import subprocess
import sys
from pathlib import Path

import pytest

from tenuto_training.cli import command


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (["--steps", "0"], "steps is 0: it must be at least 1"),
        (["--batch-size", "-3"], "batch_size is -3: it must be at least 1"),
        (["--seed", "-1"], "seed is -1: it must be at least 0"),
        (["--problems", "0"], "problems is 0: it must be at least 1"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_limit(
    argument: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["tiny", "--output", str(tmp_path / "model"), *argument]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("argv", [[], ["huge"], ["tiny", "--steps", "many"], ["tiny", "--stpes", "3"]])
def test_invalid_arguments_are_a_usage_error(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command(argv)
    assert stopped.value.code == 2
    assert "usage: tenuto train" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_an_error_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "file"
    taken.write_text("mine")
    assert command(["tiny", "--output", str(taken), "--steps", "100000"]) == 2
    assert f"output is {taken}" in capsys.readouterr().err
    assert taken.read_text() == "mine"


def test_the_command_line_imports_no_torch() -> None:
    code = "import sys, tenuto_training.cli; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
