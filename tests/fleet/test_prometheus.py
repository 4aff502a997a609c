"""A real Prometheus scrapes both servers while clients load them: panels and rules show what the clients have counted.

Every expression of every panel, of every variable of a board, and of every rule is executed through its HTTP API.
"""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tenuto_dashboards.check import expressions
from tenuto_dashboards.expressions import defaults, queries, substitute
from tenuto_pictures.answers import Selection, drawing, legend
from tenuto_testing.client_counts import ClientCounts
from tenuto_testing.prometheus import RULES, Prometheus, Result, prometheus
from tenuto_testing.servers import RunningServer

from .conftest import MODEL_NAMES
from .observation import Observation, Window, observe

FOLDER = Path(__file__).resolve().parents[2] / "deploy/observability/dashboards"
BOARDS: Mapping[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))
}
RULES_BY_NAME: Mapping[str, str] = {
    rule.get("record") or rule["alert"]: rule["expr"]
    for path in sorted(RULES.glob("*.rules.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
}
SERVERS = ("server-1", "server-2")
#: A bound of tenuto_choice_thinking_tokens that some thinking of the load exceeds.
CAP = 50
SELECTED = {"cap": f"{CAP}.0"}
RATE_SECONDS = 5
COMPARISONS = {">", "<", ">=", "<=", "==", "!="}
#: What has no data in this load, and why.
EMPTY_PANELS = {("overview", "Stream errors"): "only the failure of an engine ends a stream in an error"}
EMPTY_OPERANDS = {
    "2 * avg_over_time(tenuto:forced_ends:ratio_rate1h[1w] offset 1h)": "what was recorded more than an hour ago"
}
EXECUTED: Counter[str] = Counter()


@pytest.fixture(scope="module")
def observed(
    fleet: tuple[RunningServer, RunningServer],
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[Observation]:
    """Prints in the end how many expressions were executed."""
    servers = dict(zip(SERVERS, fleet, strict=True))
    targets = {name: server.url.removeprefix("http://") for name, server in servers.items()}
    with prometheus(tmp_path_factory.mktemp("prometheus"), targets) as running:
        yield observe(running, servers, dict(zip(SERVERS, MODEL_NAMES, strict=True)))
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        parts = ", ".join(f"{number} {kind}" for kind, number in EXECUTED.items())
        sys.stdout.write(f"\nexecuted by Prometheus: {parts}\n")


def promql(board: Mapping[str, Any], expr: str, window: str, rate: str | None = None, **selected: str) -> str:
    """An expression of a board over a window, with rates over `rate`, by default over all of it."""
    for name, value in {"$__rate_interval": rate or window, "$__range": window}.items():
        expr = expr.replace(name, value)
    return substitute(expr, {**defaults(board), **SELECTED, **selected}, interval=1, seconds=0)


def execute(source: Prometheus, kind: str, expr: str, at: float) -> list[Result]:
    EXECUTED[kind] += 1
    return source.query(expr, at)


def asked(observed: Observation, window: Window, name: str) -> Iterator[tuple[str, list[Result]]]:
    """(panel, results) of each expression of a board over a window, as instant or range query as the panel asks it."""
    board, source = BOARDS[name], observed.prometheus
    begin, end = min(window.begin.values()), max(window.end.values())
    for query in queries(board):
        expr = promql(board, query.expr, f"{round((end - begin) * 1000)}ms", f"{RATE_SECONDS}s")
        if query.instant:
            yield query.panel, execute(source, "panels", expr, end)
        else:
            EXECUTED["panels"] += 1
            yield query.panel, source.query_range(expr, begin, end, 1)


def numbers(results: list[Result]) -> list[float]:
    return [value for result in results for _, value in result.points]


@pytest.mark.parametrize("name", BOARDS)
def test_without_traffic_no_panel_shows_what_is_not_a_number(observed: Observation, name: str) -> None:
    shown = {panel: numbers(results) for panel, results in asked(observed, observed.idle, name)}
    assert [panel for panel, values in shown.items() if not all(map(math.isfinite, values))] == []


@pytest.mark.parametrize("name", BOARDS)
def test_under_load_every_panel_shows_numbers(observed: Observation, name: str) -> None:
    shown = [(panel, numbers(results)) for panel, results in asked(observed, observed.whole, name)]
    assert [panel for panel, values in shown if not all(map(math.isfinite, values))] == []
    empty = {(name, panel) for panel, values in shown if not values}
    assert empty == {panel for panel in EMPTY_PANELS if panel[0] == name}


@pytest.mark.parametrize("name", BOARDS)
def test_pictures_are_drawn_of_panels_with_data(observed: Observation, name: str) -> None:
    begin, end = min(observed.whole.begin.values()), max(observed.whole.end.values())
    selection = Selection(int(begin), int(end), step=1, rate=RATE_SECONDS, variables=SELECTED)
    drawn = drawing(BOARDS[name], observed.prometheus, selection)["panels"]
    empty = {(name, panel["title"]) for panel in drawn if panel["type"] != "row" and not panel["series"]}
    assert empty == {panel for panel in EMPTY_PANELS if panel[0] == name}


@pytest.mark.parametrize("name", BOARDS)
def test_every_variable_of_a_board_has_values_to_choose_from(observed: Observation, name: str) -> None:
    board, at = BOARDS[name], max(observed.whole.end.values())
    panels = {query.panel for query in queries(board)}
    for label, expr in (item for item in expressions(board) if item[0] not in panels):
        assert execute(observed.prometheus, "variables", promql(board, expr, "1m"), at), label


@pytest.mark.parametrize("name", RULES_BY_NAME)
def test_every_rule_has_what_it_records_or_compares(observed: Observation, name: str) -> None:
    source, at = observed.prometheus, max(observed.whole.end.values())
    [rule] = [rule for rule in source.rules() if rule["name"] == name]
    assert (rule["health"], rule.get("lastError")) == ("ok", None)
    results = execute(source, "rules", RULES_BY_NAME[name], at)
    if ":" in name:
        assert all(map(math.isfinite, numbers(results)))
        assert {frozenset(one.labels.items()) for one in results} == {
            frozenset({**one.labels, "__name__": ""}.items() - {("__name__", "")}) for one in source.query(name, at)
        }
        assert results
    for operand in operands(RULES_BY_NAME[name]):
        found = execute(source, "operands of rules", operand, at)
        assert bool(found) != (operand in EMPTY_OPERANDS), operand


def operands(expr: str) -> list[str]:
    """What an alert compares, left and right of each comparison, except numbers."""
    found: list[promql_parser.Expr] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) in COMPARISONS:
            found.extend((node.lhs, node.rhs))

    promql_parser.walk(promql_parser.parse(expr), visit)
    texts = [" ".join(str(node.prettify()).split()) for node in found]
    return [text for text in texts if any(character.isalpha() for character in text)]


def values(observed: Observation, window: Window, instance: str, name: str, panel: str) -> dict[str, float]:
    """What a panel shows of one server at the end of a window, by legend: rates are those of the whole window."""
    board, found = BOARDS[name], dict[str, float]()
    for query in (query for query in queries(board) if query.panel == panel):
        expr = promql(board, query.expr, window.range(instance), instance=instance)
        for result in execute(observed.prometheus, "comparisons", expr, window.end[instance]):
            found[legend(query.legend, result.labels)] = result.value
    assert found, f"{panel} shows nothing"
    return found


#: Expected values by legend, of a window's counts, seconds and model.
Expected = Callable[[ClientCounts, float, str], Mapping[str, float]]


def per_second(counts: Mapping[str, int], seconds: float, before: str = "") -> dict[str, float]:
    return {f"{before}{name}": count / seconds for name, count in counts.items()}


def of_model(value: Callable[[ClientCounts], float]) -> Expected:
    return lambda counts, seconds, model: {model: value(counts)}


def outcomes(counts: ClientCounts) -> Counter[str]:
    return Counter(outcome for (_, outcome), number in counts.requests.items() for _ in range(number))


def endpoints(counts: ClientCounts) -> Counter[str]:
    return Counter(endpoint for (endpoint, _), number in counts.requests.items() for _ in range(number))


def thought(counts: ClientCounts) -> int:
    return sum(choice.ended_by != "none" for choice in counts.choices)


def tokens(counts: ClientCounts, seconds: float, model: str) -> dict[str, float]:
    both = {"thinking": counts.thinking_tokens, "answer": counts.answer_tokens}
    return per_second(both, seconds, f"{model} ")


def bounds(counts: ClientCounts, seconds: float, model: str) -> dict[str, float]:
    caps, floors = (sum(getattr(choice, name) for choice in counts.choices) for name in ("has_cap", "has_floor"))
    return {f"{model} cap": caps / len(counts.choices), f"{model} floor": floors / len(counts.choices)}


def steered(counts: ClientCounts, seconds: float, model: str) -> dict[str, float]:
    return per_second({" ".join(key): number for key, number in counts.steered.items()}, seconds, f"{model} ")


#: While all requests are answered.
ANSWERED: Mapping[tuple[str, str], Expected] = {
    ("overview", "Tokens per second"): tokens,
    ("overview", "Requests"): lambda c, s, m: {"": c.requests.total()},
    ("overview", "Success rate"): of_model(lambda c: 1.0),
    ("thinking", "Generated tokens per second"): tokens,
    ("thinking", "Thinking share of tokens"): of_model(
        lambda c: c.thinking_tokens / (c.thinking_tokens + c.answer_tokens)
    ),
    ("thinking", "Endings in the time selected"): lambda c, s, m: {f"{m} {why}": n for why, n in c.endings.items()},
    ("thinking", "Endings by reason"): lambda c, s, m: per_second(c.endings, s, f"{m} "),
    ("thinking", "Forced ends"): of_model(lambda c: c.forced.total() / thought(c)),
    ("thinking", "Forced ends by reason"): lambda c, s, m: per_second(c.forced, s, f"{m} "),
    ("thinking", "Landings"): of_model(lambda c: c.forced["landing"] / thought(c)),
    ("thinking", "Waits"): lambda c, s, m: {m: c.waits / s},
    ("thinking", "Waits per choice"): of_model(lambda c: c.waits / len(c.choices)),
    ("thinking", "Choices with waits"): of_model(
        lambda c: sum(choice.waits > 0 for choice in c.choices) / len(c.choices)
    ),
    ("thinking", "Choices with a cap or a floor"): bounds,
    ("thinking", "Empty answers"): of_model(lambda c: c.empty.total() / len(c.choices)),
    ("thinking", "Empty answers by reason"): lambda c, s, m: per_second(c.empty, s, f"{m} "),
    ("thinking", "Steering"): steered,
    ("budget-planner", "Choices cut"): of_model(lambda c: c.cut_by(CAP) / len(c.choices)),
    ("budget-planner", "Tokens saved"): of_model(lambda c: c.beyond(CAP)),
    ("budget-planner", "Share saved"): of_model(lambda c: c.beyond(CAP) / c.thinking_tokens),
}
#: While others are refused, rejected or left as well.
WHOLE: Mapping[tuple[str, str], Expected] = {
    ("overview", "Requests"): lambda c, s, m: {"": c.requests.total()},
    ("overview", "Requests by outcome"): lambda c, s, m: per_second(outcomes(c), s),
    ("overview", "Requests by endpoint"): lambda c, s, m: per_second(endpoints(c), s),
    ("overview", "Rejections by reason"): lambda c, s, m: per_second(c.rejections, s),
    ("overview", "Disconnects by phase"): lambda c, s, m: per_second(c.cancellations, s, f"{m} "),
    ("overview", "Rejected"): lambda c, s, m: {"": c.outcome("rejected") / c.requests.total()},
    ("overview", "Failed requests"): of_model(lambda c: 0.0),
}


def agrees(found: Mapping[str, float], expected: Mapping[str, float], panel: str) -> None:
    """What is not expected may be there at 0, and prompts, which the client does not count."""
    others = {name: value for name, value in found.items() if name not in expected and not name.endswith(" prompt")}
    assert not any(others.values()), f"{panel}: {others}"
    assert {name: found.get(name) for name in expected} == pytest.approx(expected, rel=1e-6), panel


@pytest.mark.parametrize("panel", ANSWERED, ids=" ".join)
@pytest.mark.parametrize("instance", SERVERS)
def test_panels_show_what_clients_have_counted_in_their_replies(
    observed: Observation, instance: str, panel: tuple[str, str]
) -> None:
    window, model = observed.answered, observed.models[instance]
    expected = ANSWERED[panel](window.counts[instance], window.seconds(instance), model)
    agrees(values(observed, window, instance, *panel), expected, panel[1])


@pytest.mark.parametrize("panel", WHOLE, ids=" ".join)
@pytest.mark.parametrize("instance", SERVERS)
def test_panels_show_requests_that_were_not_answered(
    observed: Observation, instance: str, panel: tuple[str, str]
) -> None:
    window, model = observed.whole, observed.models[instance]
    expected = WHOLE[panel](window.counts[instance], window.seconds(instance), model)
    agrees(values(observed, window, instance, *panel), expected, panel[1])


@pytest.mark.parametrize("instance", SERVERS)
def test_the_planner_knows_every_cap(observed: Observation, instance: str) -> None:
    window, counts = observed.answered, observed.answered.counts[instance]
    panels: Mapping[tuple[str, str], Callable[[int], float]] = {
        ("Choices cut, by cap", "le"): lambda cap: counts.cut_by(cap) / len(counts.choices),
        ("Share of thinking tokens saved, by cap", "threshold"): lambda cap: (
            counts.beyond(cap) / counts.thinking_tokens
        ),
    }
    for (panel, label), expected in panels.items():
        [query] = [query for query in queries(BOARDS["budget-planner"]) if query.panel == panel]
        expr = promql(BOARDS["budget-planner"], query.expr, window.range(instance), instance=instance)
        results = execute(observed.prometheus, "comparisons", expr, window.end[instance])
        found = {float(result.labels[label]): result.value for result in results}
        assert len(found) > 10
        assert found == pytest.approx({cap: expected(round(cap)) for cap in found}), panel


@pytest.mark.parametrize("instance", SERVERS)
def test_the_status_board_shows_each_server(observed: Observation, instance: str) -> None:
    window, legend_ = observed.answered, f"{observed.models[instance]} {instance}"
    answers = len(window.counts[instance].choices) / window.seconds(instance) * 60
    shown = {
        panel: values(observed, window, instance, "service-status", panel)
        for panel in ("Stage", "Answers per minute", "Success rate", "Running", "Remaining thinking tokens")
    }
    assert shown == {
        "Stage": {instance: 2},
        "Answers per minute": pytest.approx({legend_: answers}),
        "Success rate": {legend_: 1},
        "Running": {legend_: 0},
        "Remaining thinking tokens": {legend_: 0},
    }


@pytest.mark.parametrize("instance", SERVERS)
def test_first_answer_tokens_are_timed_once_per_choice_that_answers(observed: Observation, instance: str) -> None:
    window = observed.answered
    series = f'tenuto_time_to_first_answer_token_seconds_count{{instance="{instance}"}}[{window.range(instance)}]'
    [result] = execute(observed.prometheus, "comparisons", f"increase({series})", window.end[instance])
    assert result.value == pytest.approx(window.counts[instance].first_answers)


@pytest.mark.parametrize("instance", SERVERS)
def test_recorded_series_agree_with_the_counts(observed: Observation, instance: str) -> None:
    """Their ranges are longer than the window, so they are computed again over it."""
    window, counts = observed.answered, observed.answered.counts[instance]
    accepted = counts.requests.total() - counts.requests["other", "ok"]
    expected = {
        "tenuto:thinking_tokens:rate5m": counts.thinking_tokens,
        "tenuto:answer_tokens:rate5m": counts.answer_tokens,
        "tenuto:accepted_requests:rate5m": accepted,
        "tenuto:finished_choices:rate15m": len(counts.choices),
    }
    for name, number in expected.items():
        expr = re.sub(r"\[\d+m\]", f"[{window.range(instance)}]", RULES_BY_NAME[name])
        found = execute(observed.prometheus, "comparisons", expr, window.end[instance])
        [result] = [one for one in found if one.labels.get("model_name") == observed.models[instance]]
        assert result.value * window.seconds(instance) == pytest.approx(number), name
