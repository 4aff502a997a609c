"""Tables of defaults and efforts from a file: what they give, and what is refused before anything starts."""

import re
from pathlib import Path

import pytest

from tenuto_decoding.budget import ThinkingBudget
from tenuto_server.budgets.defaults import EFFORT_CAPS, Defaults
from tenuto_server.budgets.other_names import CAP_PATHS
from tenuto_server.budgets.request_fields import CAP, EFFORTS
from tenuto_server.errors import StartupError

PAGE = (Path(__file__).parents[3] / "docs/budgets.md").read_text()

TABLE = """
[default]
max_thinking_tokens = 8000
cap_text = "Enough."

[reasoning_effort]
low = 100
high = { max_thinking_tokens = 16000, num_waits = 2 }
max = "unlimited"

[models.small.default]
max_thinking_tokens = "auto"

[models.small.reasoning_effort]
low = 10
"""


def read(tmp_path: Path, text: str) -> Defaults:
    file = tmp_path / "thinking.toml"
    file.write_text(text)
    return Defaults.from_options({"num_waits": 1}, {"low": 200}, file)


def test_options_take_precedence_over_the_file_and_a_models_entries_over_both(tmp_path: Path) -> None:
    defaults = read(tmp_path, TABLE)
    assert defaults.budget_of(None) == {"max_thinking_tokens": 8000, "cap_text": "Enough.", "num_waits": 1}
    assert defaults.budget_of("small") == {"max_thinking_tokens": "auto", "cap_text": "Enough.", "num_waits": 1}
    assert defaults.effort_of(None, "low") == {"max_thinking_tokens": 200}
    assert defaults.effort_of("small", "low") == {"max_thinking_tokens": 10}
    assert defaults.effort_of("small", "high") == {"max_thinking_tokens": 16000, "num_waits": 2}
    assert defaults.effort_of(None, "max") == {"max_thinking_tokens": "unlimited"}
    assert defaults.effort_of(None, None) == {}


def test_every_budget_of_the_tables_can_be_checked_before_the_model_is_loaded(tmp_path: Path) -> None:
    budgets = list(read(tmp_path, TABLE).budgets())
    assert ThinkingBudget(max_thinking_tokens=8000, cap_text="Enough.", num_waits=1) in budgets
    assert ThinkingBudget(max_thinking_tokens=16000, num_waits=2) in budgets


@pytest.mark.parametrize("field", ["max_thinking_tokens", "min_thinking_tokens", "num_waits", "loop_tokens"])
def test_defaults_are_a_budget_if_they_have_a_bound_not_with_texts_alone(field: str) -> None:
    assert Defaults.from_options({field: 50}, {}, None).bounds_thinking
    assert not Defaults.from_options({"cap_text": "Enough."}, {}, None).bounds_thinking


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_thinking_tokens = 5", "max_thinking_tokens: is not one of default, reasoning_effort, models"),
        ("[default]\nmax_thinking_token = 5", "default: max_thinking_token: is not one of max_thinking_tokens"),
        ("[default]\nmax_thinking_tokens = -5", "default: max_thinking_tokens: -5 is not between"),
        ("[default]\nmax_thinking_tokens = 'much'", "default: max_thinking_tokens: 'much' is neither"),
        ("default = 5", "default: 5 is not a table"),
        ("[reasoning_effort]\nlittle = 5", "reasoning_effort.little: 'little' is not one of none, minimal"),
        ("[reasoning_effort]\nlow = 1.5", "reasoning_effort.low: max_thinking_tokens: 1.5 is not a whole number"),
        ("[models.small]\ncap = 5", "models.small.cap: is not one of default, reasoning_effort"),
        ("[models]\nsmall = 5", "models.small: 5 is not a table"),
        ("[default", "thinking.toml"),
    ],
)
def test_errors_in_a_table_name_the_entry(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StartupError) as refusal:
        read(tmp_path, text)
    assert message in str(refusal.value)


def test_the_page_on_budgets_is_correct(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert read(tmp_path, example).effort_of("s1.1-32B", "low") == {CAP: 2048}
    assert "| " + " | ".join(EFFORTS) + " |" in PAGE
    assert "| " + " | ".join(str(EFFORT_CAPS[name][CAP]) for name in EFFORTS) + " |" in PAGE
    names = PAGE[PAGE.index("## The cap under other names") : PAGE.index("## Words instead")]
    assert all(all(part in names for part in path) for path in CAP_PATHS)
