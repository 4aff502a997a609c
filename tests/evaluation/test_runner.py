"""Requests in flight are limited, and each problem has a result."""

import io

import pytest

import tenuto
from tenuto_evaluation.methods import Method, caps_sweep, waits_sweep
from tenuto_evaluation.problems import Problem
from tenuto_evaluation.runner import ProblemResult, RequestSettings, RunProgress, run
from tests.evaluation.conftest import Adder

PROBLEMS = [Problem(" + ".join(["1"] * length), str(length)) for length in range(1, 31)]
PLAIN = Method("0", {})


async def results_of(
    adder: Adder, method: Method, problems: list[Problem], concurrency: int = 8
) -> list[ProblemResult]:
    settings = RequestSettings(concurrency=concurrency)
    async with tenuto.AsyncClient(adder.url) as client:
        return await run(client, method, problems, settings, RunProgress("run", len(problems), io.StringIO()))


async def test_one_result_for_each_problem_in_order(adder: Adder) -> None:
    results = await results_of(adder, PLAIN, PROBLEMS)
    assert [result.problem for result in results] == PROBLEMS
    assert [result.answer.correct for result in results if result.answer] == [True, True, *[False] * 28]
    answer = results[0].answer
    assert answer is not None
    assert (answer.extracted, answer.thinking_tokens, answer.ended_by) == ("1", 10, "model")


@pytest.mark.parametrize("concurrency", [1, 5])
async def test_requests_in_flight_are_limited(adder: Adder, concurrency: int) -> None:
    await results_of(adder, PLAIN, PROBLEMS, concurrency)
    assert len(adder.bodies) == len(PROBLEMS)
    assert adder.most_running == concurrency


async def test_the_budget_of_the_method_is_sent(adder: Adder) -> None:
    [capped] = caps_sweep([20], num_waits=3).methods
    [result] = await results_of(adder, capped, [Problem("1 + 2 + 3 + 4 + 5", "10")])
    assert (adder.bodies[0]["max_thinking_tokens"], adder.bodies[0]["num_waits"]) == (20, 3)
    assert adder.bodies[0]["temperature"] == 0.0
    assert result.answer is not None
    assert (result.answer.correct, result.answer.thinking_tokens, result.answer.ended_by) == (True, 20, "cap")


async def test_waits_are_a_method(adder: Adder) -> None:
    problem = Problem("1 + 2 + 3 + 4", "10")
    correct = []
    for method in waits_sweep([0, 1]).methods:
        [result] = await results_of(adder, method, [problem])
        assert result.answer is not None
        correct.append(result.answer.correct)
    assert correct == [False, True]


async def test_a_failure_is_a_result(adder: Adder) -> None:
    results = await results_of(adder, PLAIN, [Problem("1", "1"), Problem("broken", "1"), Problem("2", "2")])
    assert [result.answer is not None for result in results] == [True, False, True]
    assert results[1].failure == "ServerError: it broke (HTTP 500)"


async def test_a_reply_without_a_report_is_a_failure(adder: Adder) -> None:
    adder.reports = False
    [result] = await results_of(adder, PLAIN, [Problem("1", "1")])
    assert result.failure is not None
    assert "no thinking report" in result.failure


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


RESULTS = [ProblemResult(PROBLEMS[0]), ProblemResult(PROBLEMS[1], failure="cut"), ProblemResult(PROBLEMS[2])]


def test_progress_counts_on_a_terminal() -> None:
    screen = Screen()
    progress = RunProgress("waits 2", 3, screen)
    for result in RESULTS:
        progress.count(result)
    assert screen.getvalue() == (
        "\rwaits 2: 1/3\rwaits 2: first failure: cut\n\rwaits 2: 2/3, 1 failed\rwaits 2: 3/3, 1 failed\n"
    )


def test_progress_elsewhere_is_one_line() -> None:
    stream = io.StringIO()
    progress = RunProgress("waits 2", 3, stream)
    for result in RESULTS:
        progress.count(result)
    assert stream.getvalue() == "waits 2: first failure: cut\nwaits 2: 3/3, 1 failed\n"
