"""What the expressions of all boards give, computed by Prometheus' own engine (promtool) from made-up scrapes.

Two servers of different models are scraped, of every series that an expression names. Values that agree with real
clients are the subject of tests/fleet.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

from tenuto_dashboards import service_status
from tenuto_dashboards.__main__ import BOARDS, FOLDER
from tenuto_dashboards.exported import exported
from tenuto_dashboards.expressions import Query, defaults, names, queries, selectors, substitute
from tenuto_server.metrics.definitions import STAGES

PROMTOOL = Path(__file__).resolve().parents[2] / ".venv/prometheus/promtool"
MINUTES = 90
TARGETS = {"a:8000": "model-a", "b:8000": "model-b"}
#: Bounds of all histograms here: those that the variables select by default, and the smallest of the waits.
BOUNDS = ("0.0", "2.5", "30.0", "1000.0", "+Inf")


def _queries() -> Iterator[tuple[Query, str]]:
    for name in BOARDS:
        board = json.loads((FOLDER / f"{name}.json").read_text())
        for query in queries(board):
            values = defaults(board) | {"gpus_per_engine": "2"}
            yield query, substitute(query.expr, values, interval=120, seconds=3600)


QUERIES = list(_queries())
USED = dict.fromkeys(name for query, _ in QUERIES for name in names(query.expr))


def _label_values() -> dict[str, set[str]]:
    """Each value of a label that an expression matches, and one that none does."""
    values: dict[str, set[str]] = {}
    for _, promql in QUERIES:
        for matcher in (matcher for one in selectors(promql) for matcher in one.matchers.matchers):
            values.setdefault(matcher.name, {"other"}).update(re.findall(r"[\w.]+", matcher.value))
    return {**values, "le": set(BOUNDS), "threshold": {"1000.0"}, "engine": {"0", "1"}}


VALUES = _label_values()
Labels = dict[str, str]
#: What is scraped of a series, in promtool's notation; None if the server does not export it.
Scraped = Callable[[str, Labels], str | None]


def scrapes(scraped: Scraped) -> Iterator[dict[str, str]]:
    for name, (instance, model) in product(USED, TARGETS.items()):
        known = {"job": ["tenuto"], "instance": [instance], "model_name": [model]}
        labels = sorted(exported()[name])
        for chosen in product(*(known.get(label) or sorted(VALUES.get(label, {"other"})) for label in labels)):
            matched = dict(zip(labels, chosen, strict=True))
            if (values := scraped(name, matched)) is not None:
                text = ", ".join(f'{label}="{value}"' for label, value in matched.items())
                yield {"series": f"{name}{{{text}}}", "values": values}


def _gauge(name: str, labels: Labels) -> int | None:
    """The value of a gauge; None of anything else."""
    if name.endswith(("_total", "_bucket", "_sum", "_count")):
        return None
    return int(labels.get("stage", "ready") == "ready")


def idle(name: str, labels: Labels) -> str:
    """Nothing was ever counted."""
    return f"{_gauge(name, labels) or 0}x{MINUTES}"


def busy(name: str, labels: Labels) -> str:
    """Everything was counted, at each scrape; a bucket has as many more as its bound is later."""
    if (value := _gauge(name, labels)) is not None:
        return f"{value}x{MINUTES}"
    step = BOUNDS.index(labels["le"]) + 1 if "le" in labels else len(BOUNDS)
    return f"0+{step}x{MINUTES}"


def well(name: str, labels: Labels) -> str | None:
    """As busy, but nothing that is no success, no ending by the model or no token has a series yet."""
    fine = {"outcome": "ok", "reason": "other"}
    rare = ("forced_ends", "landings", "empty", "waits_total", "stream_errors", "rejected", "cancelled", "beyond")
    if any(word in name for word in rare) or any(labels.get(label, value) != value for label, value in fine.items()):
        return None
    return busy(name, labels)


@pytest.fixture
def expect(tmp_path: Path) -> Callable[[Scraped, dict[str, dict[str, float]]], None]:
    """Checks what expressions give at the end, as values by the labels of their series."""

    def check(scraped: Scraped, expected: dict[str, dict[str, float]]) -> None:
        cases = [
            {
                "expr": promql,
                "eval_time": f"{MINUTES}m",
                "exp_samples": [{"labels": labels, "value": value} for labels, value in samples.items()],
            }
            for promql, samples in expected.items()
        ]
        test = {"interval": "1m", "input_series": list(scrapes(scraped)), "promql_expr_test": cases}
        file = tmp_path / "test.yml"
        file.write_text(json.dumps({"evaluation_interval": "1m", "tests": [test]}))
        done = subprocess.run([PROMTOOL, "test", "rules", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return check


Expect = Callable[[Scraped, dict[str, dict[str, float]]], None]


def _not_a_number(promql: str) -> str:
    """NaN is the only value that differs from itself."""
    return f"count(({promql}) != ({promql}))"


@pytest.mark.parametrize("scraped", [idle, busy, well])
def test_nothing_is_ever_nan(expect: Expect, scraped: Scraped) -> None:
    expect(scraped, {_not_a_number(promql): {} for _, promql in QUERIES})


def test_with_traffic_every_panel_shows_data(expect: Expect) -> None:
    expect(busy, {f"count({promql}) > bool 0": {"{}": 1} for _, promql in QUERIES})


def test_without_traffic_percentiles_and_shares_are_empty(expect: Expect) -> None:
    """So that the panel shows its text for that, instead of a number that nothing was measured for."""
    gauges = ("tenuto_server_stage", "tenuto_sequences")
    empty = [
        promql
        for _, promql in QUERIES
        if any(part in promql for part in (" and ", "quantile", " / (")) and not any(name in promql for name in gauges)
    ]
    assert len(empty) > 60
    expect(idle, {f"count({promql})": {} for promql in empty})


def test_what_never_happened_is_a_share_of_0(expect: Expect) -> None:
    """Its counter has no series yet, but there was traffic: `0 %`, not `No traffic`."""
    by_title = {query.panel: promql for query, promql in QUERIES}
    never = ("Failed requests", "Forced ends", "Landings", "Empty answers", "Ended by a cap")
    both = {f'{{model_name="{model}"}}': 0.0 for model in TARGETS.values()}
    expect(well, {by_title[title]: both for title in never})
    expect(well, {by_title["Rejected"]: {"{}": 0.0}})


def test_the_planner_computes_what_a_cap_would_have_saved(expect: Expect) -> None:
    """8 choices a minute, 2 of them above the cap by 3,000 of 24,000 tokens; the engine runs without a pause."""
    per_minute = {
        "tenuto_choice_thinking_tokens_count": 8,
        "tenuto_choice_thinking_tokens_bucket": 6,
        "tenuto_choice_thinking_tokens_sum": 24_000,
        "tenuto_thinking_tokens_beyond_total": 3_000,
        "vllm:generation_tokens_total": 24_000,
    }

    def scraped(name: str, labels: Labels) -> str | None:
        if labels["instance"] != "a:8000" or labels.get("engine") == "1" or labels.get("effort", "other") != "other":
            return None
        if name == "vllm:num_requests_running":
            return f"3x{MINUTES}"
        return f"0+{per_minute[name]}x{MINUTES}" if name in per_minute else None

    planned = {query.panel: promql for query, promql in QUERIES if 'le="1000.0"' in promql or "beyond" in promql}
    model = '{model_name="model-a"}'
    expect(scraped, {planned["Choices cut"]: {model: 0.25}, planned["Tokens saved"]: {model: 180_000}})
    expect(scraped, {planned["Share saved"]: {model: 0.125}, planned["Choices cut over time"]: {model: 0.25}})
    # An hour of two GPUs, for 180,000 of 1,440,000 generated tokens; a step at the range's edge counts or not.
    seconds, step = 2 * 3600 / 8, 2 * 120 / 8
    expect(scraped, {f"abs({planned['GPU-seconds saved']} - {seconds}) <= bool {step}": {model: 1}})


def test_every_stage_has_a_number_and_a_look() -> None:
    assert [name for _, name, _ in service_status.STAGES] == list(STAGES)
    assert [number for number, _, _ in service_status.LOOKS] == [0, 1, 2, 3, 4]


def test_each_stage_has_its_number_and_a_server_that_cannot_be_reached_is_down(expect: Expect) -> None:
    """Its series end with a failed scrape. Targets of other jobs that are down are no servers of ours."""

    def scraped(name: str, labels: Labels) -> str | None:
        down = labels["instance"] == "b:8000"
        if name == "up":
            return f"1x{MINUTES - 10} {'0' if down else '1'}x10"
        if name == "tenuto_server_stage":
            value = int(labels["stage"] == ("ready" if down else "draining"))
            return f"{value}x{MINUTES - 10}" + (" stale" if down else f" {value}x10")
        return None

    promql = substitute(service_status.stage(), {"job": ".+", "instance": ".+"}, interval=120, seconds=3600)
    expect(scraped, {promql: {'{instance="a:8000"}': 3, '{instance="b:8000"}': 0}})
