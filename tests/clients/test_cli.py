"""The `tenuto` command with real entry points: the tests put a distribution of their own on the path."""

import sys
from pathlib import Path

import pytest

from tenuto import __version__
from tenuto.cli import main

COMMANDS = {
    "greet": '"""Say hello."""\n\ndef command(argv):\n    """Greet people.\n\n    More text.\n    """\n'
    "    print('hello', *argv)\n    return 3\n",
    "wants_engine": "import engine_that_is_not_there\n",
    "wants_it_late": 'def command(argv):\n    """Late."""\n    import engine_that_is_not_there\n',
    "explodes": "raise RuntimeError('half installed')\n",
    "defective": 'def command(argv):\n    """Bug."""\n    import tenuto_evaluation.no_such_module\n',
    "interrupted": 'def command(argv):\n    """Sleep."""\n    raise KeyboardInterrupt\n',
}


@pytest.fixture(autouse=True)
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with one module per command; `tenuto_testing_NAME` stands for one of our own packages."""
    lines = ["[tenuto.commands]"]
    for name, source in COMMANDS.items():
        (tmp_path / f"tenuto_testing_{name}.py").write_text(source)
        lines.append(f"{name} = tenuto_testing_{name}:command")
    info = tmp_path / "tenuto_testing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tenuto-testing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in COMMANDS:
        monkeypatch.delitem(sys.modules, f"tenuto_testing_{name}", raising=False)


def test_help_lists_every_command_with_the_first_line_of_its_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["greet", "Greet", "people."] for line in lines)
    assert {"chat", "serve", "train", "eval"} <= {line.split()[0] for line in lines if line.startswith("  ")}


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "commands:" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tenuto {__version__}\n"


def test_a_command_gets_its_arguments_and_returns_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["greet", "a", "--b"]) == 3
    assert capsys.readouterr().out == "hello a --b\n"


def test_an_unknown_command_is_an_error_that_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gret"]) == 2
    error = capsys.readouterr().err
    assert "'gret'" in error
    assert "greet" in error
    assert "chat" in error


@pytest.mark.parametrize("name", ["wants_engine", "wants_it_late"])
def test_a_missing_module_is_reported_with_the_extra_that_installs_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == 1
    error = capsys.readouterr().err
    assert "'engine_that_is_not_there' is not installed" in error
    assert f'pip install "tenuto[testing_{name}]"' in error


def test_broken_commands_are_listed_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert "not available: module 'engine_that_is_not_there'" in lines["wants_engine"]
    assert "not available: RuntimeError: half installed" in lines["explodes"]


def test_a_missing_module_of_our_own_is_a_bug_and_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        main(["defective"])


def test_an_interrupted_command_exits_as_shells_expect() -> None:
    assert main(["interrupted"]) == 130
