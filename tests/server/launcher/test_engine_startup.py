"""What is refused after the engine is configured and before the model is loaded."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenuto_server.config.command_line import BUILT_IN_MODEL, parse_command_line
from tenuto_server.errors import StartupError
from tenuto_server.launcher.engine_startup import start_engine


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def nameless(tmp_path: Path) -> str:
    """A model whose vocabulary and chat template do not show how it marks its thinking."""
    folder = tmp_path / "model"
    shutil.copytree(BUILT_IN_MODEL, folder)
    (folder / "chat_template.jinja").write_text("{% for message in messages %}{{ message['content'] }}{% endfor %}")
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
