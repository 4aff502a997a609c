"""The recording and alert rules for Prometheus, checked by Prometheus' own tool and against the runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenuto_dashboards.check import grouped
from tenuto_dashboards.exported import exported
from tenuto_dashboards.expressions import names, selectors
from tenuto_testing import alerts_page

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/observability/prometheus"
PROMTOOL = ROOT / ".venv/prometheus/promtool"
RULE_FILES = sorted(FOLDER.glob("*.rules.yml"))
TEST_FILES = sorted(FOLDER.glob("tests/*.yml"))
ANNOTATIONS = {"summary", "description", "runbook_url"}


def _rules(path: Path) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


RULES = [rule for path in RULE_FILES for rule in _rules(path)]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}


def _known() -> dict[str, frozenset[str]]:
    """The labels of every series that is exported or recorded."""
    known = dict(exported())
    for rule in (rule for rule in RULES if "record" in rule):
        # Those of its aggregation, or of a series that is not aggregated; rules only use what is recorded before them.
        known[rule["record"]] = frozenset(grouped(rule["expr"]) - {"le"}) or known[names(rule["expr"])[0]]
    return known


KNOWN = _known()
#: What the runbook says in each of its sections, by the section's anchor.
RUNBOOK = {
    title.lower(): text
    for title, text in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", (ROOT / "docs/runbook.md").read_text(), re.M | re.S)
}


def promtool(*arguments: str | Path) -> str:
    """Run promtool, which must succeed; what it printed."""
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_the_rules_and_the_example_configuration() -> None:
    assert len(RULE_FILES) == 2
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", *RULE_FILES)
    promtool("check", "config", FOLDER / "prometheus.yml")


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_rules_give_what_their_unit_tests_expect(path: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", path)


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    groups = [group for path in TEST_FILES for group in yaml.safe_load(path.read_text())["tests"]]
    cases = [
        (case["alertname"], bool(case["exp_alerts"])) for group in groups for case in group.get("alert_rule_test", [])
    ]
    assert set(cases) == {(name, fires) for name in ALERTS for fires in (True, False)}


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_how_bad_it_is_and_where_to_read_on(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"].keys() == ANNOTATIONS
    assert all(text.strip() == text for text in alert["annotations"].values())
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


@pytest.mark.parametrize("name", ALERTS)
def test_the_runbook_says_what_an_alert_means_what_to_look_at_and_what_to_do(name: str) -> None:
    assert re.findall(r"^\*\*(.+?)\.\*\*", RUNBOOK[name.lower()], re.M) == ["Means", "Look at", "Do"]


def test_the_runbook_has_no_sections_of_other_alerts() -> None:
    assert set(RUNBOOK) == {name.lower() for name in ALERTS}


def test_recorded_series_are_named_by_level_metric_and_operations() -> None:
    for name in (rule["record"] for rule in RULES if "record" in rule):
        assert re.fullmatch(r"tenuto:[a-z_]+:[a-z0-9_]+", name), name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_name_only_series_and_labels_that_a_server_exports_or_a_rule_records(rule: dict[str, Any]) -> None:
    found = selectors(rule["expr"])
    assert [selector.name for selector in found if selector.name not in KNOWN] == []
    matched = [(str(one.name), matcher.name) for one in found for matcher in one.matchers.matchers]
    assert [(name, label) for name, label in matched if label not in KNOWN[name]] == []
    assert grouped(rule["expr"]) <= {label for one in found for label in KNOWN[str(one.name)]}


@pytest.mark.parametrize("name", ALERTS)
def test_the_texts_of_an_alert_name_only_labels_that_it_has(name: str) -> None:
    labels = {label for series in names(ALERTS[name]["expr"]) for label in KNOWN[series]}
    assert set(re.findall(r"\$labels\.(\w+)", str(ALERTS[name]["annotations"]))) <= labels


def test_the_page_of_the_dashboards_lists_the_alerts() -> None:
    """`python -m tenuto_testing.alerts_page` writes them."""
    text = alerts_page.PAGE.read_text()
    assert alerts_page.table() in text
    assert alerts_page.page(text) == text
