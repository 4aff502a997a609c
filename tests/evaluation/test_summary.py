"""The summary of a run, its row in a table, and the metrics of a sweep."""

import pytest

from tenuto_evaluation.errors import ServerFailed
from tenuto_evaluation.methods import Method, caps_sweep, waits_sweep
from tenuto_evaluation.problems import Problem
from tenuto_evaluation.runner import GradedAnswer, ProblemResult
from tenuto_evaluation.summary import Summary, most_accurate, summarise, sweep_metrics
from tenuto_evaluation.tables import header, markdown, metrics_line, plain, row

PROBLEM = Problem("?", "1")


def answered(correct: bool, tokens: int, waits: int = 0, ended_by: str = "model") -> ProblemResult:
    return ProblemResult(PROBLEM, GradedAnswer("", "", "", correct, tokens, waits, ended_by, "stop"))


def summary(label: str, correct: int, tokens: float, limit: int | None = None) -> Summary:
    return Summary(Method(label, {}, limit), 100, 0, correct, tokens, 1.0, {"cap": 0.75, "model": 0.25})


def test_summarise_leaves_failures_out_of_the_means_and_counts_them() -> None:
    results = [
        answered(True, 10, waits=1),
        answered(False, 30, waits=2, ended_by="cap"),
        answered(True, 20),
        ProblemResult(PROBLEM, failure="cut"),
    ]
    found = summarise(Method("2", {}), results)
    assert (found.answered, found.failed, found.correct) == (3, 1, 2)
    assert found.accuracy == pytest.approx(2 / 3)
    assert (found.mean_thinking_tokens, found.mean_waits) == (20.0, 1.0)
    assert found.ended_by == pytest.approx({"model": 2 / 3, "cap": 1 / 3})
    assert row(found)[-1].endswith("(1 failed)")


def test_a_run_without_answers_is_an_error() -> None:
    with pytest.raises(ServerFailed, match="the first: cut"):
        summarise(Method("2", {}), [ProblemResult(PROBLEM, failure="cut"), ProblemResult(PROBLEM, failure="later")])


def test_of_equally_accurate_runs_the_one_that_thinks_least_is_chosen() -> None:
    runs = [summary("0", 20, 10), summary("4", 80, 70), summary("2", 80, 50), summary("6", 60, 90)]
    assert most_accurate(runs).method.label == "2"


def test_control_of_a_caps_sweep_counts_the_runs_within_their_cap() -> None:
    runs = [summary("8", 10, 8.0, limit=8), summary("16", 20, 17.0, limit=16)]
    metrics = sweep_metrics(runs)
    assert metrics.control == 0.5
    assert metrics.performance == 0.2
    assert metrics.scaling == pytest.approx(10 / 1.0875, rel=1e-3)
    assert metrics_line(metrics) == "Control 50%, Scaling +9.2 points per doubling, Performance 20.0%"


def test_the_cap_is_the_limit_of_a_run() -> None:
    sweep = caps_sweep([0, 16], num_waits=4)
    assert [(method.label, method.limit) for method in sweep.methods] == [("0", 0), ("16", 16)]
    assert sweep.methods[1].budget == {"max_thinking_tokens": 16, "num_waits": 4}


def test_runs_with_waits_are_free_of_the_servers_default_cap() -> None:
    budgets = [method.budget for method in waits_sweep([0, 2]).methods]
    assert budgets == [{"max_thinking_tokens": "unlimited", "num_waits": waits} for waits in (0, 2)]


def test_plain_table() -> None:
    head, rows = header("waits"), [row(summary("0", 20, 9.5)), row(summary("10", 80, 123.25))]
    assert plain(head, rows).splitlines() == [
        "waits  accuracy  95 % interval  mean thinking tokens  mean waits  ended by",
        "-----  --------  -------------  --------------------  ----------  ------------------",
        "    0     0.200  0.133 - 0.289                   9.5        1.00  cap 75%, model 25%",
        "   10     0.800  0.711 - 0.867                 123.2        1.00  cap 75%, model 25%",
    ]


def test_markdown_table() -> None:
    assert markdown(("waits", "ended by"), [("0", "model 100%")]).splitlines() == [
        "| waits | ended by |",
        "| ---: | :--- |",
        "| 0 | model 100% |",
    ]
