"""Runs one method on a set of problems, with many requests at once and one result for each problem."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

import tenuto
from tenuto_evaluation.methods import Method
from tenuto_evaluation.problems import Problem, extract_answer, is_correct


@dataclass(frozen=True)
class RequestSettings:
    """What the requests of all runs have in common. `max_tokens` None leaves the limit to the server."""

    model: str | None = None
    temperature: float = 0.0
    max_tokens: int | None = None
    concurrency: int = 64


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """A reply, the answer found in it, and whether it is correct."""

    reasoning: str
    content: str
    extracted: str
    correct: bool
    thinking_tokens: int
    waits: int
    ended_by: str
    finish_reason: str | None


@dataclass(frozen=True, slots=True)
class ProblemResult:
    """The result of one problem with one method: an answer, or why the request failed."""

    problem: Problem
    answer: GradedAnswer | None = None
    failure: str | None = None


@dataclass
class RunProgress:
    """Shows a count on one line of a terminal; elsewhere writes only the final count."""

    label: str
    total: int
    stream: TextIO
    done: int = 0
    failed: int = 0

    def count(self, result: ProblemResult) -> None:
        if result.failure and not self.failed:
            self._line(f"first failure: {result.failure}", ended=True)
        self.done += 1
        self.failed += result.failure is not None
        last = self.done == self.total
        if last or self.stream.isatty():
            self._line(f"{self.done}/{self.total}" + (f", {self.failed} failed" if self.failed else ""), ended=last)

    def _line(self, text: str, ended: bool) -> None:
        start = "\r" if self.stream.isatty() else ""
        self.stream.write(f"{start}{self.label}: {text}" + ("\n" if ended else ""))
        self.stream.flush()


async def run(
    client: tenuto.AsyncClient,
    method: Method,
    problems: Sequence[Problem],
    settings: RequestSettings,
    progress: RunProgress,
) -> list[ProblemResult]:
    """Return one result for each problem, in order. At most `settings.concurrency` requests are in flight."""
    slots = asyncio.Semaphore(settings.concurrency)

    async def run_one(problem: Problem) -> ProblemResult:
        async with slots:
            result = await answer_problem(client, method, problem, settings)
        progress.count(result)
        return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run_one(problem)) for problem in problems]
    return [task.result() for task in tasks]


async def answer_problem(
    client: tenuto.AsyncClient, method: Method, problem: Problem, settings: RequestSettings
) -> ProblemResult:
    """Send one problem and grade the answer; an exception of the client becomes the `failure` of the result."""
    try:
        reply = await client.chat(
            problem.question,
            settings.model,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            **method.budget,
        )
    except tenuto.TenutoError as error:
        return ProblemResult(problem, failure=f"{type(error).__name__}: {error}")
    return grade(problem, reply.choices[0])


def grade(problem: Problem, choice: tenuto.Choice) -> ProblemResult:
    if choice.thinking is None:
        return ProblemResult(problem, failure="the reply has no thinking report: is this a Tenuto server?")
    extracted = extract_answer(choice.content)
    answer = GradedAnswer(
        reasoning=choice.reasoning,
        content=choice.content,
        extracted=extracted,
        correct=is_correct(extracted, problem.answer),
        thinking_tokens=choice.thinking.tokens,
        waits=choice.thinking.waits,
        ended_by=choice.thinking.ended_by,
        finish_reason=choice.finish_reason,
    )
    return ProblemResult(problem, answer)
