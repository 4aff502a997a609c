"""Requests in flight are bounded, and none of them is lost."""

import io

import pytest

import tenuto
from tenuto_evaluation.methods import Method, caps_sweep, waits_sweep
from tenuto_evaluation.runner import Progress, Record, Settings, run
from tenuto_evaluation.tasks import Problem
from tests.evaluation.conftest import Adder

PROBLEMS = [Problem(" + ".join(["1"] * length), str(length)) for length in range(1, 31)]
PLAIN = Method("0", {})


async def records_of(adder: Adder, method: Method, problems: list[Problem], concurrency: int = 8) -> list[Record]:
    settings = Settings(concurrency=concurrency)
    async with tenuto.AsyncClient(adder.url) as client:
        return await run(client, method, problems, settings, Progress("run", len(problems), io.StringIO()))


async def test_one_record_for_each_problem_in_their_order(adder: Adder) -> None:
    records = await records_of(adder, PLAIN, PROBLEMS)
    assert [record.problem for record in records] == PROBLEMS
    assert [record.answer.correct for record in records if record.answer] == [True, True, *[False] * 28]
    answer = records[0].answer
    assert answer is not None
    assert (answer.extracted, answer.thinking_tokens, answer.ended_by) == ("1", 10, "model")


@pytest.mark.parametrize("concurrency", [1, 5])
async def test_requests_in_flight_are_bounded(adder: Adder, concurrency: int) -> None:
    await records_of(adder, PLAIN, PROBLEMS, concurrency)
    assert len(adder.bodies) == len(PROBLEMS)
    assert adder.most_running == concurrency


async def test_the_budget_of_the_method_is_sent(adder: Adder) -> None:
    [capped] = caps_sweep([20], num_waits=3).methods
    [record] = await records_of(adder, capped, [Problem("1 + 2 + 3 + 4 + 5", "10")])
    assert (adder.bodies[0]["max_thinking_tokens"], adder.bodies[0]["num_waits"]) == (20, 3)
    assert adder.bodies[0]["temperature"] == 0.0
    assert record.answer is not None
    assert (record.answer.correct, record.answer.thinking_tokens, record.answer.ended_by) == (True, 20, "cap")


async def test_waits_are_a_method(adder: Adder) -> None:
    problem = Problem("1 + 2 + 3 + 4", "10")
    correct = []
    for method in waits_sweep([0, 1]).methods:
        [record] = await records_of(adder, method, [problem])
        assert record.answer is not None
        correct.append(record.answer.correct)
    assert correct == [False, True]


async def test_a_failure_is_a_record(adder: Adder) -> None:
    records = await records_of(adder, PLAIN, [Problem("1", "1"), Problem("broken", "1"), Problem("2", "2")])
    assert [record.answer is not None for record in records] == [True, False, True]
    assert records[1].failure == "ServerError: it broke (HTTP 500)"


async def test_a_server_that_counts_no_thinking_is_no_use(adder: Adder) -> None:
    adder.reports = False
    [record] = await records_of(adder, PLAIN, [Problem("1", "1")])
    assert record.failure is not None
    assert "no thinking report" in record.failure


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


RECORDS = [Record(PROBLEMS[0]), Record(PROBLEMS[1], failure="cut"), Record(PROBLEMS[2])]


def test_progress_counts_on_a_terminal() -> None:
    screen = Screen()
    progress = Progress("waits 2", 3, screen)
    for record in RECORDS:
        progress.count(record)
    assert screen.getvalue() == (
        "\rwaits 2: 1/3\rwaits 2: first failure: cut\n\rwaits 2: 2/3, 1 failed\rwaits 2: 3/3, 1 failed\n"
    )


def test_progress_elsewhere_is_one_line() -> None:
    stream = io.StringIO()
    progress = Progress("waits 2", 3, stream)
    for record in RECORDS:
        progress.count(record)
    assert stream.getvalue() == "waits 2: first failure: cut\nwaits 2: 3/3, 1 failed\n"
