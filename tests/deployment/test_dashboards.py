"""The Grafana boards: the rules of Grafana's dashboard linter, the layout, and the check of `make check`.

The linter (grafana/dashboard-linter) is a Go program without a package; its rules are restated here, by their names.
"""

import copy
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.models import units

from tenuto_dashboards.__main__ import BOARDS, FOLDER
from tenuto_dashboards.board import Line, Row, build
from tenuto_dashboards.check import problems
from tenuto_dashboards.exported import exported
from tenuto_dashboards.expressions import defaults, names, panels, queries, selectors, substitute
from tenuto_dashboards.panels import stat
from tenuto_dashboards.promql import select, total

Board = dict[str, Any]

ALL = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in BOARDS}
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = {unit for unit in vars(units).values() if isinstance(unit, str)}
#: What `$__rate_interval` and `$__range` are replaced with: no expression names either length itself.
RATE_SECONDS, RANGE_SECONDS = 67, 3559

boards = pytest.mark.parametrize("board", ALL.values(), ids=ALL)


def asked(board: Board) -> list[tuple[str, str]]:
    """(title, PromQL) of every expression of a panel."""
    values = defaults(board)
    return [
        (query.panel, substitute(query.expr, values, interval=RATE_SECONDS, seconds=RANGE_SECONDS))
        for query in queries(board)
    ]


def variables(board: Board) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def ranges(promql: str) -> list[tuple[str, str, int]]:
    """(function, series, seconds) of every range selector that is the argument of a function."""
    found: list[tuple[str, str, int]] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.Call):
            for argument in node.args:
                if isinstance(argument, promql_parser.MatrixSelector):
                    seconds = int(argument.range.total_seconds())
                    found.append((node.func.name, str(argument.vector_selector.name), seconds))

    promql_parser.walk(promql_parser.parse(promql), visit)
    return found


@boards
def test_a_board_is_changed_in_its_source_only(board: Board) -> None:
    """template-uneditable."""
    assert board["editable"] is False
    assert board["uid"].startswith("tenuto-")
    assert (board["refresh"], board["schemaVersion"]) == ("30s", 41)
    assert "id" not in board


def test_boards_have_uids_of_their_own_and_link_to_each_other() -> None:
    assert len({board["uid"] for board in ALL.values()}) == len(ALL) == 4
    for board in ALL.values():
        (link,) = board["links"]
        assert link["type"] == "dashboards"
        assert set(link["tags"]) <= set(board["tags"])
        assert (link["includeVars"], link["keepTime"]) == (True, True)


@boards
def test_the_data_source_is_a_variable_that_everything_uses(board: Board) -> None:
    """template-datasource, panel-datasource."""
    sources = [variable for variable in board["templating"]["list"] if variable["type"] == "datasource"]
    assert [(each["name"], each["label"], each["query"]) for each in sources] == [
        ("datasource", "Data source", "prometheus")
    ]
    for panel in panels(board):
        assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [
            DATA_SOURCE,
            *[DATA_SOURCE] * len(panel["targets"]),
        ]


@boards
def test_job_and_instance_are_variables_of_which_several_can_be_selected(board: Board) -> None:
    """template-job, template-instance."""
    for name, label in (("job", "Job"), ("instance", "Instance")):
        variable = variables(board)[name]
        assert (variable["type"], variable["label"], variable["datasource"]) == ("query", label, DATA_SOURCE)
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")
        assert variable["current"]["value"] == ["$__all"]


@boards
def test_values_of_variables_are_read_again_when_the_time_changes(board: Board) -> None:
    """template-on-time-change-reload."""
    asking = [variable for variable in board["templating"]["list"] if variable["type"] == "query"]
    assert {variable["name"] for variable in asking} >= {"job", "instance", "model_name"}
    assert {variable["refresh"] for variable in asking} == {2}


@boards
def test_every_panel_has_a_title_a_unit_and_a_description_that_ends_with_its_series(board: Board) -> None:
    """panel-title-description, panel-units, panel-no-targets."""
    titles = Counter(panel["title"] for panel in panels(board))
    assert set(titles.values()) == {1}
    for panel in panels(board):
        shown = dict.fromkeys(name for target in panel["targets"] for name in names(target["expr"]))
        assert shown, panel["title"]
        about, _, listed = panel["description"].partition(" Metrics: ")
        assert listed.split(", ") == list(shown)
        assert about.endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS - {""}, panel["title"]


@boards
def test_every_selector_is_limited_to_the_job_and_the_instance(board: Board) -> None:
    """target-job, target-instance; and each expression to the model, if a series in it has one."""
    marked = {**defaults(board), "job": "<job>", "instance": "<instance>", "model_name": "<model>"}
    for query in queries(board):
        found = selectors(substitute(query.expr, marked, interval=60, seconds=3600))
        for selector in found:
            assert _limits(selector) >= {("job", "<job>"), ("instance", "<instance>")}, query
        if any("model_name" in exported()[str(selector.name)] for selector in found):
            assert any(("model_name", "<model>") in _limits(selector) for selector in found), query


def _limits(selector: promql_parser.VectorSelector) -> set[tuple[str, str]]:
    matchers = selector.matchers.matchers
    return {(matcher.name, matcher.value) for matcher in matchers if matcher.op == promql_parser.MatchOp.Re}


@boards
def test_expressions_are_promql_and_name_what_a_server_exports(board: Board) -> None:
    """target-promql, template-label-promql."""
    assert list(problems("board", board)) == []


@boards
def test_rates_look_at_the_interval_that_grafana_chooses(board: Board) -> None:
    """target-rate-interval. The rule leaves `increase` its range, which is all of the time selected."""
    for title, promql in asked(board):
        for function, _, seconds in ranges(promql):
            assert seconds == (RATE_SECONDS if function in ("rate", "irate") else RANGE_SECONDS), (title, promql)


@boards
def test_counters_are_shown_as_rates_or_increases(board: Board) -> None:
    """target-counter-agg."""
    for title, promql in asked(board):
        counters = [str(selector.name) for selector in selectors(promql) if str(selector.name).endswith("_total")]
        found = [series for function, series, _ in ranges(promql) if function in ("rate", "irate", "increase")]
        assert Counter(counters) == Counter(series for series in found if series.endswith("_total")), title


@boards
def test_a_panel_without_data_says_why(board: Board) -> None:
    for panel in panels(board):
        assert panel["fieldConfig"]["defaults"]["noValue"] in ("No traffic", "None", "No server"), panel["title"]


@boards
def test_counts_are_whole_numbers(board: Board) -> None:
    """`increase` extrapolates, so that one request is shown as 1.08 of them."""
    for query in queries(board):
        if query.instant and query.unit == "short" and "increase(" in query.expr and "quantile" not in query.expr:
            assert query.expr.startswith("round(") or " / (" in query.expr, query.panel


@boards
def test_legends_tell_models_apart(board: Board) -> None:
    """Where an expression keeps the labels of the model, of the instance or any other, the legend shows them."""
    for query in queries(board):
        outer = promql_parser.parse(substitute(query.expr, defaults(board), interval=60, seconds=3600))
        while not isinstance(outer, promql_parser.AggregateExpr):
            if isinstance(outer, promql_parser.BinaryExpr):
                outer = outer.rhs if isinstance(outer.lhs, promql_parser.NumberLiteral) else outer.lhs
            elif isinstance(outer, promql_parser.Call):
                outer = outer.args[-1] if outer.func.name == "histogram_quantile" else outer.args[0]
            else:
                assert isinstance(outer, promql_parser.ParenExpr), query.panel
                outer = outer.expr
        kept = set(outer.modifier.labels) if outer.modifier else set()
        if query.format == "time_series":
            shown = {label for label in kept if f"{{{{{label}}}}}" in query.legend}
            assert shown == kept - {"le"}, query.panel


@boards
def test_the_layout_has_no_holes_and_no_overlaps(board: Board) -> None:
    cells = Counter(
        (row, column)
        for panel in board["panels"]
        for row in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
    )
    height = max(row for row, _ in cells) + 1
    assert set(cells.values()) == {1}
    assert cells.keys() == {(row, column) for row in range(height) for column in range(24)}
    assert [panel["id"] for panel in board["panels"]] == list(range(1, len(board["panels"]) + 1))


def test_a_line_that_would_leave_a_hole_is_an_error() -> None:
    panel = stat("Servers", "short", "All.", (total(select("tenuto_server_stage")), ""))
    with pytest.raises(ValueError, match="5 panels in a line of 'Now' leave a hole"):
        build("tenuto-test", "Test", "A test.", [Row("Now", [Line(4, [panel] * 5)])])


@pytest.mark.parametrize(
    ("expr", "problem"),
    [
        ("rate(tenuto_reqests_total[1m])", "tenuto_reqests_total is not exported"),
        ('tenuto_running_choices{model="a"}', "tenuto_running_choices has no label model"),
        ('tenuto_running_choices{phase=~"answer|done"}', "tenuto_running_choices has no phase 'done'"),
        ("sum by (reason) (tenuto_running_choices)", "no series has the label reason"),
        ("up / on (phase) tenuto_sequences", "no series has the label phase"),
        ("sum(up", "is no PromQL"),
        ('up{job=~"$jobs"}', "names the variable 'jobs'"),
    ],
)
def test_the_check_finds_what_no_server_exports(expr: str, problem: str) -> None:
    board = copy.deepcopy(ALL["overview"])
    board["panels"][1]["targets"][0]["expr"] = expr
    (found,) = problems("overview", board)
    assert found.startswith(f"overview, 'Servers ready': {problem}")


def test_the_check_passes_and_imports_no_engine() -> None:
    script = (
        "import runpy, sys\n"
        "sys.argv = ['tenuto_dashboards', '--check']\n"
        "try: runpy.run_module('tenuto_dashboards', run_name='__main__')\n"
        "finally: print(sorted({'vllm', 'torch', 'fastapi'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_the_check_fails_when_a_file_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tenuto_dashboards import __main__ as command

    monkeypatch.setattr(command, "FOLDER", tmp_path)
    assert command.stale() == [f"{name}.json is not what the package generates: run `make dashboards`" for name in ALL]
    monkeypatch.setattr(sys, "argv", ["tenuto_dashboards"])
    assert command.main() == 0
    assert command.stale() == []
    (tmp_path / "old.json").write_text("{}")
    assert command.stale() == ["old.json is generated by no module: remove it"]


def test_series_of_the_engine_are_read_in_its_sources() -> None:
    """Counters get `_total`, histograms their three series, and what only an option exports is left out."""
    known = exported()
    assert known["vllm:num_preemptions_total"] == {"model_name", "engine", "job", "instance"}
    assert known["vllm:inter_token_latency_seconds_bucket"] == {"model_name", "engine", "le", "job", "instance"}
    assert known["vllm:admission_rejections_total"] == {"model_name", "reason", "job", "instance"}
    assert known["http_requests_total"] == {"handler", "method", "status", "job", "instance"}
    assert not {name for name in known if "lora" in name or "kv_block" in name or "watermark" in name}


def test_variables_are_put_in_as_grafana_does() -> None:
    expr = 'sum_over_time(up{job=~"$job"}[$__range:$__interval]) * ${gpus} * $__range_s / rate(a[$__rate_interval])'
    assert (
        substitute(expr, {"job": ".+", "gpus": "2"}, interval=30, seconds=600)
        == 'sum_over_time(up{job=~".+"}[600s:30s]) * 2 * 600 / rate(a[30s])'
    )
    with pytest.raises(KeyError):
        substitute("up{job='$job'}", {}, interval=30, seconds=600)
