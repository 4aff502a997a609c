"""What is refused after the engine is configured and before the model is loaded."""

import os
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from tenuto_server.config.command_line import BUILT_IN_MODEL, parse_command_line
from tenuto_server.errors import StartupError
from tenuto_server.launcher.engine_startup import start_engine
from tenuto_testing.unmarked_model import save_unmarked


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models with a hub's name are not looked for on the network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def nameless(tmp_path: Path) -> str:
    """A model whose vocabulary, chat template and configuration do not show how it marks its thinking."""
    return str(save_unmarked(tmp_path / "model"))


@pytest.fixture
def incomplete(tmp_path: Path) -> str:
    """A folder without a model's configuration."""
    folder = tmp_path / "incomplete"
    folder.mkdir()
    (folder / "model.safetensors").touch()
    return str(folder)


def start(*argv: str) -> None:
    start_engine(*parse_command_line([*argv, "--enforce-eager", "--dtype", "float32"]))


def test_speculative_decoding_on_the_runner_that_could_not_enforce_budgets_with_it() -> None:
    speculative = '{"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_max": 3}'
    with pytest.raises(StartupError, match=r"--speculative-config.*V1"):
        start(str(BUILT_IN_MODEL), "--speculative-config", speculative)


@pytest.mark.parametrize(
    "options",
    [
        ("--default-max-thinking-tokens", "50"),
        ("--thinking-family", "nobody"),
        ("--thinking-start-marker", "<a>"),
    ],
    ids=lambda options: options[0],
)
def test_budgets_for_a_model_whose_markers_are_not_known(nameless: str, options: tuple[str, str]) -> None:
    with pytest.raises(StartupError, match="marker"):
        start(nameless, *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--max-num-seqs", "0"), "--max-num-seqs: Input should be greater than or equal to 1, not 0"),
        (("--max-model-len", "100000"), "max_model_len (100000) is greater than the derived max_model_len"),
        (("--max-model-len", "-5"), "--max-model-len: Input should be greater than or equal to -1, not -5"),
        (("--tensor-parallel-size", "3"), "attention heads (4) must be divisible by tensor parallel size (3)"),
        (("--gpu-memory-utilization", "7"), "--gpu-memory-utilization: Input should be less than or equal to 1, not 7"),
        (("--reasoning-parser", "nope"), "Reasoning parser 'nope' not found"),
        (("--tool-call-parser", "nope"), "--tool-call-parser: nope is not one of"),
        (("--tokenizer", "nope/nope"), "cannot be served with these options: "),
        (("--tokenizer-mode", "nope"), "tokenizer_mode='nope'"),
        (("--quantization", "nope"), "Unknown quantization method: nope"),
        (("--speculative-config", '{"method": "nope"}'), "SpeculativeConfig.method: Input should be 'ngram'"),
        (("--logits-processors", "nope:Nope"), "--logits-processors: nope:Nope cannot be imported"),
        (("--logits-processors", "nope"), "--logits-processors: nope cannot be imported"),
        (("--logits-processors", "os:path"), "--logits-processors: os:path is not a class"),
        (("--generation-config", "/nope"), "'/nope'"),
        (("--served-model-name", ""), "--served-model-name: Input should be a valid string"),
        (("--runner", "pooling"), "--runner: pooling: this server needs a model that generates text"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_options_that_cannot_work_are_one_line(options: tuple[str, ...], message: str) -> None:
    with pytest.raises(StartupError) as error:
        start(str(BUILT_IN_MODEL), *options)
    check_line(str(error.value), message)


def test_a_folder_that_holds_no_model_is_one_line(incomplete: str) -> None:
    with pytest.raises(StartupError) as error:
        start(incomplete)
    check_line(str(error.value), f"{incomplete} cannot be served with these options: Invalid repository ID or local")


def test_a_model_that_cannot_be_fetched_is_named() -> None:
    with pytest.raises(StartupError) as error:
        start("unknown/model")
    check_line(str(error.value), "unknown/model cannot be served with these options: ")


def check_line(line: str, message: str) -> None:
    assert message in line
    assert len(line.splitlines()) == 1
    for detail in ("pydantic", "input_value", "validation error", "Value error"):
        assert detail not in line
