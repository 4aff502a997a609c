"""Options and files that describe how a model marks its thinking."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tenuto_decoding.marker_fields import MARKER_FIELDS
from tenuto_server.config.command_line import parse_command_line
from tenuto_server.errors import StartupError

PAGE = (Path(__file__).parents[3] / "docs/operations.md").read_text()
#: The example of a complete description in the documentation.
(COMPLETE,) = (block for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "end_spellings" in block)


def given(*argv: str) -> dict[str, Any]:
    return parse_command_line(["some/model", *argv])[0].read_markers()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "markers.toml"


def test_nothing_is_given_by_default() -> None:
    assert given() == {}


def test_options_describe_an_unknown_model() -> None:
    assert given(
        *("--thinking-start-marker", "<a>", "--thinking-end-marker", "</a>", "--thinking-answer-prefix", "\nAnswer:"),
        *("--thinking-also-ends", "<call>", "<tool>", "--thinking-stops", "<eos>"),
        *("--thinking-shared-start", "--no-thinking-opens"),
    ) == {
        "start": "<a>",
        "end": "</a>",
        "also_ends": ("<call>", "<tool>"),
        "stops": ("<eos>",),
        "answer_prefix": "\nAnswer:",
        "shared_start": True,
        "opens": False,
    }


def test_a_file_can_give_every_field(file: Path) -> None:
    file.write_text(COMPLETE)
    from_file = given("--thinking-markers", str(file))
    assert from_file.keys() == set(MARKER_FIELDS)
    assert from_file["off_switch"] == (("enable_thinking", False),)
    assert from_file["turn"] == ("ASSISTANT:",)


def test_options_take_precedence_over_the_file(file: Path) -> None:
    file.write_text(COMPLETE)
    both = given("--thinking-markers", str(file), "--no-thinking-opens", "--thinking-stops", "<a>", "<b>")
    assert (both["opens"], both["stops"], both["also_ends"]) == (False, ("<a>", "<b>"), ("<call>",))


def test_the_two_markers_may_come_from_the_file_and_an_option(file: Path) -> None:
    file.write_text('start = "<a>"')
    assert given("--thinking-markers", str(file), "--thinking-end-marker", "</a>") == {"start": "<a>", "end": "</a>"}


def test_options_from_vllms_own_configuration_file(tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("thinking-family: think\nthinking-opens: true\nthinking-stops: ['<a>', '<b>']\n")
    assert given("--config", str(config)) == {"family": "think", "opens": True, "stops": ("<a>", "<b>")}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--thinking-family", "nobody"), "--thinking-family: 'nobody' is not one of s1, "),
        (("--thinking-start-marker", "<a>"), "--thinking-start-marker, --thinking-end-marker: give both"),
        (("--thinking-start-marker", "", "--thinking-end-marker", "</a>"), "neither of them empty"),
        (("--thinking-stops", ""), "--thinking-stops: stops: [''] is not a list of texts, none of them empty"),
        (("--thinking-markers", "/nowhere.toml"), "--thinking-markers /nowhere.toml: No such file"),
    ],
)
def test_a_wrong_option_is_named(argv: Sequence[str], message: str) -> None:
    with pytest.raises(StartupError) as refusal:
        given(*argv)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("opener = 1", "opener: is not one of family, start, end"),
        ("stops = '<eos>'", "stops: '<eos>' is not a list of texts"),
        ("opens = 'yes'", "opens: 'yes' is neither true nor false"),
        ("family = 'nobody'", "markers.toml: family: 'nobody' is not one of s1, "),
        ("stops =", "Invalid value"),
    ],
)
def test_a_wrong_entry_of_the_file_is_named(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(StartupError) as refusal:
        given("--thinking-markers", str(file))
    assert message in str(refusal.value)
