"""`tenuto markers`: what is detected and why, prompts, and what is forced, without weights."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tenuto_decoding.marker_fields import MARKER_FIELDS
from tenuto_server.config.command_line import BUILT_IN_MODEL
from tenuto_server.inspection.__main__ import main
from tenuto_testing.byte_tokenizer import make_tokenizer
from tenuto_testing.thinker_model import save_thinker

BUILT_IN_TEXT = f"""\
{BUILT_IN_MODEL}

family            s1
shown by          the model's configuration names the family s1
opened by         the budget: the model does not open it reliably
start             "<|im_start|>think"  516 259
end               "<|im_start|>answer"  516 264
stops             "<|im_end|>"  517
                  "<|endoftext|>"  515
a wait is         "Wait"

prompt; the reply begins before thinking
  | <|im_start|>user
  | How many r are in raspberry?<|im_end|>
  | <|im_start|>assistant
  |{" "}

forced at the cap, in the middle of a line
  |{" "}
  | <|im_start|>answer
  | Final Answer:
    198 516 264 198 271 277 25

forced with a cap of 0
  | <|im_start|>answer
  | Final Answer:
    516 264 198 271 277 25
"""


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the `<think>` family, without its weights."""
    folder = save_thinker(tmp_path_factory.mktemp("thinker"))
    (folder / "model.safetensors").unlink()
    return folder


@pytest.fixture
def nameless(thinker: Path, tmp_path: Path) -> str:
    """A model that shows no markers."""
    make_tokenizer("{{ messages[0].content }}").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((thinker / "config.json").read_text())
    return str(tmp_path)


def report(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main([*argv, "--json"]) == 0
    written: dict[str, Any] = json.loads(capsys.readouterr().out)
    return written


def test_the_text_about_the_built_in_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == BUILT_IN_TEXT


def test_the_documentation_shows_lines_of_it() -> None:
    page = (Path(__file__).parents[3] / "docs/operations.md").read_text()
    (shown,) = re.findall(r"\$ tenuto markers\n\.\.\.\n(.*?)\.\.\.\n```", page, re.DOTALL)
    assert shown in BUILT_IN_TEXT


def test_the_command_writes_nothing_but_the_report(tmp_path: Path) -> None:
    """Also in a folder that holds one called like the engine."""
    (tmp_path / "vllm").mkdir()
    command = [sys.executable, "-m", "tenuto", "markers"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, BUILT_IN_TEXT, "")


def test_a_model_with_a_switch(thinker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, str(thinker))
    assert found["markers"].keys() == set(MARKER_FIELDS)
    assert (found["markers"]["family"], found["markers"]["off_switch"]) == ("think", [["enable_thinking", False]])
    assert found["prompt"]["reply_begins"] == "before"
    assert found["off_prompt"]["reply_begins"] == "answer"
    assert found["off_prompt"]["text"].endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    tokenizer = AutoTokenizer.from_pretrained(thinker)
    for forced in (found["forced_end"], found["without_thinking"]):
        assert tokenizer.decode(forced["ids"]) == forced["text"]
    assert found["forced_end"]["text"].strip().endswith("</think>")
    assert found["without_thinking"]["text"] == found["markers"]["no_thinking"] == "<think>\n\n</think>\n\n"
    assert found["ids"]["</think>"] == tokenizer.encode("</think>")
    assert found["ids"]["<|endoftext|>"] == [tokenizer.pad_token_id]
    assert "<｜end▁of▁sentence｜>" in found["markers"]["stops"]
    assert "<｜end▁of▁sentence｜>" not in found["ids"]  # of other models of the family


def test_the_variables_of_a_server_reach_the_prompt(thinker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, str(thinker), "--default-chat-template-kwargs", '{"open_thinking": true}')
    assert found["prompt"]["variables"] == {"open_thinking": True}
    assert found["prompt"]["text"].endswith("<think>\n")
    assert (found["prompt"]["reply_begins"], found["opened_by"]) == ("thinking", "the prompt")
    assert found["without_thinking"]["text"].lstrip("\n").startswith("</think>")


@pytest.mark.parametrize(
    ("option", "opener"), [("--thinking-opens", "the model"), ("--no-thinking-opens", "a floor or waits")]
)
def test_the_options_of_a_server_have_the_same_effect(
    nameless: str, option: str, opener: str, capsys: pytest.CaptureFixture[str]
) -> None:
    markers = ("--thinking-start-marker", "<a>", "--thinking-end-marker", "</a>", "--thinking-answer-prefix", "So: ")
    found = report(capsys, nameless, *markers, option)
    assert found["forced_end"]["text"].endswith("</a>So: ")
    assert found["opened_by"].startswith(opener)
    assert any("answer_prefix" in sentence for sentence in found["evidence"])


def test_the_report_describes_the_markers_for_a_server(
    thinker: Path, nameless: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    markers = report(capsys, str(thinker))["markers"]
    file = tmp_path / "markers.toml"
    entries = {**markers, "off_switch": [list(pair) for pair in markers["off_switch"]]}
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in entries.items() if value is not None))
    assert report(capsys, nameless, "--thinking-markers", str(file))["markers"] == markers


def test_a_chat_template_of_the_operators(thinker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = tmp_path / "template.jinja"
    template.write_text("{{ messages[0].content }}\n<think>\n")
    found = report(capsys, str(thinker), "--chat-template", str(template))
    assert found["prompt"]["text"].endswith("<think>\n") or found["prompt"]["text"].endswith("<think>")
    assert found["opened_by"] == "the prompt"


def test_an_unknown_model_is_one_line(nameless: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([nameless]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"tenuto markers: {nameless}: ")
    assert "--thinking-family" in output.err
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("/nowhere",), "--model: /nowhere does not exist"),
        (("--nonsense",), "unrecognized arguments: --nonsense"),
        (("--thinking-family", "nobody"), "'nobody' is not one of s1"),
    ],
)
def test_what_cannot_work_is_one_line(argv: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
